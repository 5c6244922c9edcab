"""Schemas of `run.json`, `sweep.json`, the lines of `journal.jsonl` and the metadata of results."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, with_config
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from darkroom.config.settings import OutputKind
from darkroom.imaging.layers import LayerSide
from darkroom.system.files import relative_parts

RUN, SWEEP, JOURNAL = "run.json", "sweep.json", "journal.jsonl"


def _path(text: str) -> str:
    relative_parts(text)
    return text


def _name(text: str) -> str:
    if len(relative_parts(text)) > 1:
        raise ValueError("not the name of a folder")
    return text


def _time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Inside = Annotated[str, AfterValidator(_path)]  # a path within the run folder
Time = Annotated[str, AfterValidator(_time)]  # ISO 8601
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Plain = dict[str, Any]
PictureStatus = Literal["done", "failed", "skipped"]
RunStatus = Literal["running", "done", "failed", "interrupted", "stopped"]


class StepFiles(TypedDict, total=False):
    """Paths of a step's files, and its measurements."""

    image: Inside
    mask: Inside
    repainted: Inside
    layers: dict[LayerSide, Inside]
    enlarged: Inside
    artifacts: dict[str, Inside]
    figures: dict[str, Finite]


class StepLine(StepFiles):
    """A step of a picture: its key in the store (empty: none), its files, its measurements."""

    key: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    empty: bool
    seconds: Seconds


@with_config(ConfigDict(extra="allow"))
class StageLine(TypedDict):
    """A stage with scalar parameters: its name in the recipe, its op, and all parameters."""

    stage: str
    op: str


class JournalLine(TypedDict):
    """A line of the journal: one picture. `docs/run_folder.md` explains the keys."""

    photo: str
    folder: Annotated[str, AfterValidator(_name)]
    status: PictureStatus
    result: Inside | None
    delivered: Inside | None
    outputs: dict[OutputKind, Inside]
    mask: Inside | None
    source: Inside | None
    prompt: str | None
    negative_prompt: str | None
    seed: Annotated[int, Field(ge=0, lt=2**64)] | None
    variant: str
    outside_max_diff: Annotated[int, Field(ge=0, le=65535)] | None
    seconds: Seconds | None
    error: str | None
    flags: list[str]
    path: str
    digest: Digest | None
    inputs: dict[str, Digest]
    item: Plain
    settings: list[StageLine]
    steps: list[StepLine]
    warnings: list[str]
    thumbnails: dict[Literal["source", "mask", "result"], Inside]
    files: dict[Inside, Digest]


@with_config(ConfigDict(extra="allow"))
class Config(TypedDict, total=False):
    """A composed configuration. `recipe.parse` and `Settings.parse` check its values."""

    name: str | None
    dataset: Plain
    stages: Plain
    until: str | None
    limit: int | None
    models: Plain
    memory: Plain
    device: str


@with_config(ConfigDict(extra="allow"))
class ModelRecord(TypedDict, total=False):
    """A model of a run: an entry of `models.weights` in `run.json`."""

    name: str
    weights: str


@with_config(ConfigDict(extra="allow"))
class ModelFacts(TypedDict, total=False):
    """The models of a run, and the settings that they ran with."""

    device: str
    memory: Plain
    weights: dict[str, ModelRecord]
    loras: dict[str, ModelRecord]


@with_config(ConfigDict(extra="allow"))
class Environment(TypedDict, total=False):
    """The software and machine that a run used."""

    python: str
    platform: str
    packages: dict[str, str | None]
    git: Plain | None


class Totals(TypedDict):
    """Number of photos, and of pictures by status."""

    photos: Count
    done: Count
    failed: Count
    skipped: Count
    flagged: Count


class ActorWork(TypedDict):
    """What a Ray actor did. `photos` are ranges of numbers in the order of the dataset, such as `1-4, 9`; `busy` and
    `waited` are its seconds at work and without work.
    """

    actor: Count
    machine: str
    photos: Annotated[str, StringConstraints(pattern=r"^[0-9, -]*$")]
    computed: dict[str, Count]
    busy: Seconds
    waited: Seconds
    died: bool


class Work(TypedDict, total=False):
    """What a run computed, by op."""

    computed: dict[str, Count]
    reused: dict[str, Count]
    failed: dict[str, Count]
    seconds: dict[str, Seconds]
    loaded: list[str]
    peak_memory: Count
    actors: list[ActorWork]


class Pace(TypedDict):
    """How many pictures a run has finished after the first one, whatever their status, and in how many seconds."""

    pictures: Count
    seconds: Seconds


class DependsOn(TypedDict):
    """What the results of a run depend on besides its configuration, models and photos; see `Fingerprints`."""

    keys: Count
    ops: dict[str, Count]
    columns: dict[str, str]
    files: dict[str, str]


class RunFacts(TypedDict):
    """`run.json`. The keys after `environment` are added when the run ends."""

    name: str
    started: Time
    status: RunStatus
    overrides: list[str]
    config: Config
    settled: Config
    models: ModelFacts
    warnings: list[str]
    environment: Environment
    finished: NotRequired[Time]
    wall_seconds: NotRequired[Seconds]
    dataset_fingerprint: NotRequired[str]
    totals: NotRequired[Totals]
    usual: NotRequired[dict[str, dict[str, Finite] | None]]
    pace: NotRequired[Pace]
    work: NotRequired[Work]
    depends_on: NotRequired[DependsOn]


class Start(TypedDict):
    """Everything that a job of a sweep needs to begin."""

    overrides: list[str]
    config: Config
    files: dict[Inside, str]


class JobLine(TypedDict):
    """A job of a sweep. It has `start` until it begins."""

    folder: Annotated[str, AfterValidator(_name)]
    values: dict[str, str]
    status: Literal["waiting"] | RunStatus
    error: str | None
    start: NotRequired[Start]


class SweepFacts(TypedDict):
    """`sweep.json`."""

    started: Time
    axes: dict[str, list[str]]
    jobs: list[JobLine]


class Metadata(TypedDict):
    """The text chunk `darkroom` of a result PNG."""

    photo: Digest
    stages: list[Plain]
    models: dict[str, Plain]
