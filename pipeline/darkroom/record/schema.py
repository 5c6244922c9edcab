"""What `run.json`, `sweep.json` and the lines of `journal.jsonl` hold, and the one place that reads them.

They can come from strangers, from other versions and from damaged disks: what is not as it should be is one line of
error. Keys that are not named here are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

from darkroom.errors import RecordError
from darkroom.system import strict_json
from darkroom.system.files import Folder, relative_parts

RUN, SWEEP, JOURNAL = "run.json", "sweep.json", "journal.jsonl"

MAX_FACTS = 64_000_000  # bytes of run.json or sweep.json
MAX_LINE = 16_000_000  # bytes of a line of the journal


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
RunStatus = Literal["running", "done", "failed", "interrupted", "stopped"]


class StepFiles(TypedDict, total=False):
    """Paths of a step's files, and what it measured."""

    image: Inside
    mask: Inside
    repainted: Inside
    artifacts: dict[str, Inside]
    figures: dict[str, Finite]


class StepLine(StepFiles):
    """What a step of a picture made: its key in the store (empty: none), its files, its measurements."""

    key: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    empty: bool
    seconds: Seconds


@with_config(ConfigDict(extra="allow"))
class StageLine(TypedDict):
    """A stage as it was asked for: its name in the recipe, its op, and all its parameters."""

    stage: str
    op: str


class JournalLine(TypedDict):
    """A line of the journal, on one picture; `docs/run_folder.md` explains the keys."""

    photo: str
    folder: Annotated[str, AfterValidator(_name)]
    status: Literal["done", "failed", "skipped"]
    result: Inside | None
    delivered: Inside | None
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
    """A configuration as it was composed. `recipe.parse` and `Settings.parse` check the rest."""

    name: str | None
    dataset: Plain
    stages: Plain
    until: str | None
    models: Plain
    memory: Plain
    device: str


class ModelRecord(TypedDict, total=False):
    """A model of a run: `models.weights` in `run.json`."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    name: str
    weights: str


@with_config(ConfigDict(extra="allow"))
class ModelFacts(TypedDict, total=False):
    """The models of a run, and how they compute."""

    device: str
    memory: Plain
    weights: dict[str, ModelRecord]


@with_config(ConfigDict(extra="allow"))
class Environment(TypedDict, total=False):
    """Where a run took place."""

    python: str
    platform: str
    packages: dict[str, str | None]
    git: Plain | None


class Totals(TypedDict):
    """How many photos a run had, and how many pictures of each status."""

    photos: Count
    done: Count
    failed: Count
    skipped: Count
    flagged: Count


class Work(TypedDict, total=False):
    """What a run has computed, by op."""

    computed: dict[str, Count]
    reused: dict[str, Count]
    failed: dict[str, Count]
    seconds: dict[str, Seconds]
    loaded: list[str]
    peak_memory: Count


class DependsOn(TypedDict):
    """What the results of a run depend on besides its configuration, models and photos."""

    keys: Count
    ops: dict[str, Count]
    columns: dict[str, str]
    files: dict[str, str]


class RunFacts(TypedDict):
    """`run.json`. What comes after `environment` is there once the run has come to an end."""

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
    work: NotRequired[Work]
    depends_on: NotRequired[DependsOn]


class Start(TypedDict):
    """All that a run of a sweep needs to begin."""

    overrides: list[str]
    config: Config
    files: dict[Inside, str]


class JobLine(TypedDict):
    """A run of a sweep. `start` is there until it has begun."""

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
    """The text chunk `darkroom` of a result: what the picture says about itself."""

    photo: Digest
    stages: list[Plain]
    models: dict[str, Plain]


_LINE = TypeAdapter(JournalLine)
_METADATA = TypeAdapter(Metadata)
_FACTS = TypeAdapter(RunFacts)
_SWEEP = TypeAdapter(SweepFacts)


def read_metadata(text: str) -> Metadata | None:
    """What the text chunk `darkroom` of a result says; None where it is damaged."""
    try:
        return _METADATA.validate_python(strict_json.loads(text), strict=True)
    except ValueError:
        return None


def read_facts(folder: Path) -> RunFacts:
    """What a run folder's `run.json` says.

    Raises:
        RecordError: the folder holds no run, or its `run.json` is damaged.
    """
    return _read(folder, RUN, _FACTS)


def read_sweep(folder: Path) -> SweepFacts:
    """What a sweep's `sweep.json` says.

    Raises:
        RecordError: the folder holds no sweep, or its `sweep.json` is damaged.
    """
    facts = _read(folder, SWEEP, _SWEEP)
    if len({job["folder"] for job in facts["jobs"]}) < len(facts["jobs"]):
        raise RecordError(f"{folder / SWEEP}: is damaged: two runs have the same folder")
    if link := next((job["folder"] for job in facts["jobs"] if (folder / job["folder"]).is_symlink()), None):
        raise RecordError(f"{folder / SWEEP}: {link}: is a link, not a run folder")
    return facts


def read_journal(folder: Path, name: str = JOURNAL, damaged: bool = False) -> Iterator[JournalLine]:
    """The lines of a run's journal as they are read, oldest first.

    A run that was killed while writing leaves a torn last line; it is left out, its picture not finished.

    Args:
        folder: the run folder.
        name: the journal's name in it.
        damaged: leave damaged lines out, too.

    Raises:
        RecordError: there is none, it cannot be read, or a line is damaged.
    """
    for _, line in read_places(folder, name, damaged):
        yield line


def read_places(folder: Path, name: str = JOURNAL, damaged: bool = False) -> Iterator[tuple[int, JournalLine]]:
    """See `read_journal`; each line with where it begins, in bytes."""
    try:
        with Folder(folder).open(name) as file:
            number, start = 0, 0
            while text := file.readline(MAX_LINE):
                number += 1
                if not text.endswith(b"\n") and len(text) < MAX_LINE:
                    return  # torn
                line = _line(text)
                if line is not None:
                    yield start, line
                elif not damaged:
                    reason = f"line {number} is damaged, or was written by another version of Darkroom"
                    raise RecordError(f"{folder / name}: {reason}")
                start += len(text)
    except FileNotFoundError:
        raise RecordError(f"{folder}: not a run folder: it holds no {name}") from None
    except OSError as error:
        raise RecordError(f"{folder / name}: cannot be read: {error.strerror}") from None


def read_line(folder: Path, name: str, start: int) -> JournalLine:
    """The line that `read_places` found there.

    Raises:
        RecordError: it has changed since.
    """
    try:
        with Folder(folder).open(name) as file:
            file.seek(start)
            line = _line(file.readline(MAX_LINE))
    except OSError as error:
        raise RecordError(f"{folder / name}: cannot be read: {error.strerror}") from None
    if line is None:
        raise RecordError(f"{folder / name}: was changed by another program meanwhile")
    return line


def _line(text: bytes) -> JournalLine | None:
    try:
        return _LINE.validate_python(strict_json.loads(text), strict=True)
    except ValueError:
        return None


def _read(folder: Path, name: str, schema: TypeAdapter[Any]) -> Any:
    try:
        content = strict_json.loads(Folder(folder).read(name, MAX_FACTS))
    except FileNotFoundError:
        raise RecordError(f"{folder}: not a {'run' if name == RUN else 'sweep'} folder: it holds no {name}") from None
    except OSError as error:
        raise RecordError(f"{folder / name}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RecordError(f"{folder / name}: is damaged: {error}") from None
    try:
        return schema.validate_python(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg'].removeprefix('Value error, ')}" if place else first["msg"]
        raise RecordError(f"{folder / name}: is damaged, or of another version of Darkroom: {reason:.200}") from None
