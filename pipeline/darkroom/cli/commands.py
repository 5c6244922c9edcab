"""The commands on run folders: `resume=`, `reproduce=`, `verify=`, `export=`, `store=`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.config import recipe_paths
from darkroom.errors import RecipeError, RecordError, printable, suggest
from darkroom.record import JOURNAL, RUN, SWEEP, read_facts, read_sweep
from darkroom.system.files import Folder

if TYPE_CHECKING:
    from darkroom.export import ExportSettings
    from darkroom.provenance.reproduce import Reproduction

Options = Mapping[str, str]

_CREDENTIALS = ("results.c2pa_certificate", "results.c2pa_key")
_RUN_FOLDER = "the run folder"  # what a word without a key is, after export=


def run(words: Sequence[str]) -> bool:
    """Run a command; returns whether everything is well.

    Raises:
        RecipeError: unknown words, or no such folder.
        RecordError: the folder is not a run folder, or is damaged.
        OutputError: results cannot be written.
    """
    options = _options(words)
    (name,) = [key for key in options if key in _COMMANDS]
    return _COMMANDS[name](options.pop(name), options)


def _options(words: Sequence[str]) -> dict[str, str]:
    given = _given(words)
    commands = [key for key in given if key in _COMMANDS]
    if len(commands) > 1:
        raise RecipeError(f"command line: {' and '.join(commands)}: give only one of them")
    allowed = _ALLOWED[commands[0]]
    for key in given:
        section = f"{key.partition('.')[0]}.*" if "." in key else key
        if key not in (commands[0], _RUN_FOLDER) and {key, section}.isdisjoint(allowed):
            raise RecipeError(f"command line: {key}: cannot be combined with {commands[0]}=, {suggest(key, allowed)}")
    return given


def _given(words: Sequence[str]) -> dict[str, str]:
    """The values of a command line by key. After export=, a word without a key is the run folder."""
    takes_folder = any(word.startswith("export=") for word in words)
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if takes_folder and (not equals or "/" in key):
            key, value = _RUN_FOLDER, word
        if value[:1] in ("'", '"') and value.endswith(value[0]):  # quoted for Hydra too, as overrides are
            value = value[1:-1]
        if not value:
            raise RecipeError(f"command line: {word}: expected KEY=VALUE")
        if key == _RUN_FOLDER and key in given:
            raise RecipeError(f"command line: {word}: give only one run folder")
        given[key] = value
    return given


def _resume(place: str, options: Options) -> bool:
    from darkroom.config.jobs import RefusedJob
    from darkroom.session.resume import GivenNow, jobs_to_resume, latest_stopped
    from darkroom.session.session import run as run_jobs
    from darkroom.session.session import runnable

    if "outputs" in options and place != "latest":
        raise RecipeError(f"command line: outputs: only for resume=latest; {place} is a path already")
    if options.get("engine", "local") not in ("local", "ray"):
        raise RecipeError(f"command line: engine={options['engine']}: local or ray")
    folder = latest_stopped(_outputs(options)) if place == "latest" else _folder(place)
    certificate, key = (_path(options[name]) if name in options else None for name in _CREDENTIALS)
    # The store lies beside the folder, not beside a link to it.
    jobs = jobs_to_resume(folder.resolve(), GivenNow(certificate, key, options.get("engine")))
    for job in jobs:
        if isinstance(job, RefusedJob):
            print(f"{job.folder.name}: {'; '.join(job.error.splitlines())}", file=sys.stderr)
    ready = runnable(jobs)
    return bool(ready) and run_jobs(jobs) and len(ready) == len(jobs)


def _reproduce(place: str, options: Options) -> bool:
    from darkroom.provenance.reproduce import Reproduction

    target = _existing(place)
    folder = target if target.is_dir() else _run_of(target)
    only = None if target.is_dir() else target.relative_to(folder).as_posix()
    changed = {key: _value(value) for key, value in options.items() if key != "tolerance"}
    tolerance = _tolerance(options)
    return _for_each_run(folder, lambda run: _reproduce_run(Reproduction(run, only, changed, tolerance), run))


def _reproduce_run(reproduction: Reproduction, folder: Path) -> bool:
    pictures = []
    for picture in reproduction.pictures():
        _print(f"{picture.summary:<44} {folder.name}/{picture.picture}")
        pictures.append(picture)
    _print(f"{sum(picture.identical for picture in pictures)} of {len(pictures)} pictures identical")
    if reproduction.not_tried:
        _print(f"not tried: {reproduction.not_tried}, which failed or were skipped in the run")
    inputs, changes = reproduction.input_problems(), reproduction.environment_changes()
    for title, lines in (("changed inputs:", inputs), ("changed environment:", changes)):
        for line in [title, *(f"    {line}" for line in lines)] if lines else []:
            _print(line)
    return bool(pictures) and all(picture.within_tolerance for picture in pictures)


def _verify(place: str, options: Options) -> bool:
    return _for_each_run(_folder(place), _verify_run)


def _verify_run(folder: Path) -> bool:
    from darkroom.provenance.verify import verify

    verified = verify(folder)
    problems = [*verified.problems, *_missing_lines(folder, verified.pictures)]
    for problem in problems:
        _print(f"{folder.name}/{problem}")
    found = f"{len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "no problems"
    _print(f"{folder}: {verified.pictures} pictures, {verified.files} files: {found}")
    for line in verified.unchecked:
        _print(f"{folder}: {line}")
    return not problems


def _missing_lines(folder: Path, pictures: int) -> Iterator[str]:
    """A problem if the journal of a finished run lists fewer pictures than `run.json` counts."""
    facts = read_facts(folder)
    totals = facts.get("totals")
    expected = totals["done"] + totals["failed"] + totals["skipped"] if totals else 0
    if facts["status"] in ("done", "failed") and pictures < expected:
        yield f"{JOURNAL}: lists {pictures} pictures, but the run made or tried {expected}"


def _export(format: str, options: Options) -> bool:
    from darkroom.export import FORMATS, export

    if format not in FORMATS:
        raise RecipeError(f"command line: export={format}: {suggest(format, FORMATS)}")
    if _RUN_FOLDER not in options:
        raise RecipeError(f"command line: export={format}: needs a run folder, as in export={format} RUN_DIR")
    settings = _export_settings(format, options)
    folder = _folder(options[_RUN_FOLDER]).resolve()
    runs = _runs(folder)
    if runs != [folder]:
        raise RecipeError(f"{folder}: is a sweep; export one of its runs, such as {runs[0] if runs else '0_RECIPE'}")
    target = folder.with_name(f"{folder.name}_{format}")
    if "to" in options:
        target = recipe_paths.home(options["to"]).absolute()
    exported = export(folder, target, settings)
    for line in exported.lines():
        _print(line)
    return exported.problem is None


def _export_settings(format: str, options: Options) -> ExportSettings:
    from darkroom.export import ExportSettings

    label, size = options.get("label"), options.get("shard_mb", str(ExportSettings.shard_mb))
    label = label and label.removeprefix("${").removesuffix("}")  # as recipes write it
    if label not in (None, "prompt") and not label.startswith("item."):
        raise RecipeError(f"command line: label={label}: prompt, or item.COLUMN for a column of the table")
    if not size.isdecimal() or not 1 <= int(size[:7]) <= 1_000_000 or len(size) > 7:
        raise RecipeError(f"command line: shard_mb={size}: a whole number from 1 to 1000000")
    if "shard_mb" in options and format != "webdataset":
        raise RecipeError(f"command line: shard_mb: only for export=webdataset, not for {format}")
    return ExportSettings(format, label, options.get("object", "auto"), int(size))


def _for_each_run(folder: Path, work: Callable[[Path], bool]) -> bool:
    """Work on a run, or on every run of a sweep; a damaged run is reported and skipped. Returns whether all is well."""
    runs = _runs(folder)

    def attempt(run: Path) -> bool:
        try:
            return work(run)
        except RecordError as error:
            if len(runs) == 1:
                raise
            print(error, file=sys.stderr)
            return False

    return all([attempt(run) for run in runs]) and bool(runs)


def _store(what: str, options: Options) -> bool:
    from darkroom.provenance.housekeeping import prune, report

    actions: dict[str, Callable[[Path], Iterator[str]]] = {"report": report, "prune": prune}
    if what not in actions:
        raise RecipeError(f"command line: store={what}: {suggest(what, list(actions))}")
    for line in actions[what](_outputs(options)):
        _print(line)
    return True


def _print(line: str) -> None:
    print(printable(line), flush=True)


_COMMANDS: dict[str, Callable[[str, dict[str, str]], bool]] = {
    "resume": _resume,
    "reproduce": _reproduce,
    "verify": _verify,
    "export": _export,
    "store": _store,
}
_ALLOWED: dict[str, tuple[str, ...]] = {
    "resume": ("outputs", "engine", *_CREDENTIALS),
    "reproduce": ("tolerance", "device", "models.*", "memory.*"),
    "verify": (),
    "export": ("to", "label", "object", "shard_mb"),
    "store": ("outputs",),
}


def _runs(folder: Path) -> list[Path]:
    """The run folder itself, or the run folders of a sweep.

    Raises:
        RecipeError: it is the outputs folder, which holds run folders.
    """
    from darkroom.session.resume import newest_first

    if Folder(folder).has(SWEEP):
        return [run for job in read_sweep(folder)["jobs"] if Folder(run := folder / job["folder"]).holds(RUN)]
    if not Folder(folder).holds(RUN) and (found := newest_first(folder)):
        raise RecipeError(f"{folder}: is not a run folder but holds some; the newest is {found[0]}")
    return [folder]


def _outputs(options: Options) -> Path:
    return recipe_paths.outputs_folder(options.get("outputs", "outputs"))


def _path(place: str) -> str:
    """An absolute path, as records have it."""
    return str(Path.cwd() / recipe_paths.home(place))


def _folder(place: str) -> Path:
    path = _existing(place)
    if not path.is_dir():
        raise RecipeError(f"{place}: not a folder")
    return path


def _existing(place: str) -> Path:
    path = recipe_paths.home(place).absolute()
    try:
        found = path.exists()
    except (OSError, ValueError):  # such as a name of more than 255 letters
        found = False
    if not found:
        raise RecipeError(f"{place}: no such file or folder")
    return path


def _run_of(picture: Path) -> Path:
    for folder in picture.parents:
        if (folder / RUN).is_file():
            return folder
    raise RecipeError(f"{picture}: is not in a run folder; give its path inside the run folder")


def _tolerance(options: Options) -> int:
    text = options.get("tolerance", "0")
    if not text.isdecimal() or len(text) > 3 or int(text) > 255:
        raise RecipeError(f"command line: tolerance={text}: a whole number from 0 to 255")
    return int(text)


def _value(text: str) -> Any:
    """A number, true, false or null, as YAML reads it; else the text."""
    plain: dict[str, Any] = {"true": True, "false": False, "null": None}
    return plain[text] if text in plain else int(text) if text.isdecimal() and len(text) < 10 else text
