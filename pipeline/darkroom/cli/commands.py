"""What is done with runs that are there: `resume=`, `reproduce=`, `verify=`, `store=`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from darkroom.config import recipe_file
from darkroom.config.jobs import Job, RefusedJob
from darkroom.config.recipe import Recipe, check_dataset, parse
from darkroom.config.settings import Settings
from darkroom.errors import RecipeError, RecordError, collect_errors, printable, suggest
from darkroom.planning.preflight import check
from darkroom.record import JOURNAL, RUN, SWEEP, read_facts, read_sweep, resolved_config
from darkroom.record.schema import JobLine
from darkroom.system.files import Folder

if TYPE_CHECKING:
    from darkroom.provenance.reproduce import Reproduction


def named(words: Sequence[str]) -> bool:
    """Whether a command line asks for one of them, and not for a recipe."""
    return any(word.partition("=")[0] in _COMMANDS for word in words)


def run(words: Sequence[str]) -> bool:
    """Do what a command line asks for; returns whether all is well.

    Raises:
        RecipeError: unknown words, no such folder.
        OutputError: results cannot be written.
    """
    options = _options(words)
    (name,) = [key for key in options if key in _COMMANDS]
    return _COMMANDS[name](options.pop(name), options)


def _options(words: Sequence[str]) -> dict[str, str]:
    given = {}
    for word in words:
        key, _, value = word.partition("=")
        if value[:1] in ("'", '"') and value.endswith(value[0]):  # quoted twice, as for recipes
            value = value[1:-1]
        if not value:
            raise RecipeError(f"command line: {word}: KEY=VALUE is wanted")
        given[key] = value
    commands = [key for key in given if key in _COMMANDS]
    if len(commands) > 1:
        raise RecipeError(f"command line: {' and '.join(commands)}: one at a time")
    allowed = _ALLOWED[commands[0]]
    for key in given:
        section = f"{key.partition('.')[0]}.*" if "." in key else key
        if key != commands[0] and section not in allowed:
            raise RecipeError(f"command line: {key}: does not go with {commands[0]}=, {suggest(key, allowed)}")
    return given


def _resume(place: str, options: Mapping[str, str]) -> bool:
    from darkroom.session.session import run as run_session

    if options and place != "latest":
        raise RecipeError(f"command line: outputs: goes with resume=latest; {place} says itself where it is")
    folder = _latest(_outputs(options)) if place == "latest" else _folder(place)
    folder = folder.resolve()  # the store lies beside it, not beside a link to it
    jobs = list(_sweep_jobs(folder)) if (folder / SWEEP).is_file() else [_ready(folder, None)]
    for refused in (job for job in jobs if isinstance(job, RefusedJob)):
        print(printable(f"{refused.folder.name}: {'; '.join(refused.error.splitlines())}"), file=sys.stderr)
    if not jobs:
        raise RecordError(f"{folder / SWEEP}: holds no runs")
    ready = any(isinstance(job, Job) for job in jobs)
    return ready and run_session(jobs) and all(isinstance(job, Job) for job in jobs)


def _sweep_jobs(folder: Path) -> Iterator[Job | RefusedJob]:
    for job in read_sweep(folder)["jobs"]:
        place, error = folder / job["folder"], job["error"] or f"holds no {RUN}; start it anew"
        try:
            if Folder(place).holds(RUN):
                yield _ready(place, folder)
                continue
            if "start" in job:
                yield _waiting(place, folder, job)
                continue
        except RecordError as damaged:  # costs this run; the others go on
            error = str(damaged)
        words = tuple(f"{key}={value}" for key, value in job["values"].items())
        yield RefusedJob(place, words, error, folder)


def _ready(folder: Path, sweep: Path | None) -> Job:
    """The job of a run folder, as it was recorded."""
    facts = read_facts(folder)
    config, source = resolved_config(facts), f"{folder / RUN}: config"
    recipe, settings, warnings = _checked(config, source)
    for kind in recipe.models():
        then = facts["models"].get("weights", {}).get(kind, {})
        if settings.models().identity(kind)["weights"] != then.get("weights"):
            text = "is another model than the run began with; start a new run, which takes what has not changed"
            raise RecordError(f"{folder}: models.{kind}={then.get('name')} {text}")
    return Job(recipe, settings, folder, {}, config, tuple(facts["overrides"]), sweep, warnings, begun=True)


def _waiting(folder: Path, sweep: Path, job: JobLine) -> Job:
    """The job of a sweep that was stopped before it began."""
    start = job["start"]
    recipe, settings, warnings = _checked(start["config"], f"{sweep / SWEEP}: {job['folder']}")
    words = tuple(start["overrides"])
    return Job(recipe, settings, folder, start["files"], start["config"], words, sweep, warnings)


def _checked(config: Mapping[str, Any], source: str) -> tuple[Recipe, Settings, Sequence[str]]:
    """What a record says is to be done, checked like a recipe that is new; and the warnings."""
    recipe, settings = collect_errors(lambda: parse(config, source), lambda: Settings.parse(config))
    check_dataset(recipe, source)
    return recipe, settings, check(recipe, settings.models(), settings.strict, source)


def _reproduce(place: str, options: Mapping[str, str]) -> bool:
    from darkroom.provenance.reproduce import Reproduction

    target = _existing(place)
    folder = target if target.is_dir() else _run_of(target)
    only = None if target.is_dir() else target.relative_to(folder).as_posix()
    changed = {key: _value(value) for key, value in options.items() if key != "tolerance"}
    tolerance = _tolerance(options)
    return _each_run(folder, lambda run: _reproduce_run(Reproduction(run, only, changed, tolerance), run))


def _reproduce_run(reproduction: Reproduction, folder: Path) -> bool:
    pictures = []
    for picture in reproduction.pictures():
        _say(f"{picture.summary:<44} {folder.name}/{picture.picture}")
        pictures.append(picture)
    _say(f"{sum(picture.identical for picture in pictures)} of {len(pictures)} pictures identical")
    if reproduction.not_tried:
        _say(f"not tried: {reproduction.not_tried} that had failed or been skipped")
    inputs, changes = reproduction.input_problems(), reproduction.environment_changes()
    for title, lines in (("changed inputs:", inputs), ("changed environment:", changes)):
        for line in [title, *(f"    {line}" for line in lines)] if lines else []:
            _say(line)
    return bool(pictures) and all(picture.within_tolerance for picture in pictures)


def _verify(place: str, options: Mapping[str, str]) -> bool:
    return _each_run(_folder(place), _verify_run)


def _verify_run(folder: Path) -> bool:
    from darkroom.provenance.verify import verify

    verified = verify(folder)
    problems = [*verified.problems, *_lacking(folder, verified.pictures)]
    for problem in problems:
        _say(f"{folder.name}/{problem}")
    found = f"{len(problems)} problem{'s' * (len(problems) != 1)}" if problems else "no problems"
    _say(f"{folder}: {verified.pictures} pictures, {verified.files} files: {found}")
    return not problems


def _each_run(folder: Path, work: Callable[[Path], bool]) -> bool:
    """Work on a run, or on all of a sweep, of which a damaged one costs itself; whether all is well."""
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


def _lacking(folder: Path, pictures: int) -> Iterator[str]:
    """A line, where the journal of a run that came to its end tells of fewer or more pictures than there were."""
    facts = read_facts(folder)
    totals = facts.get("totals", {})
    expected = sum(totals.get(status, 0) for status in ("done", "failed", "skipped"))
    if facts["status"] in ("done", "failed") and pictures < expected:
        yield f"{JOURNAL}: lists {pictures} pictures, but the run made or tried {expected}"


def _store(what: str, options: Mapping[str, str]) -> bool:
    from darkroom.provenance.housekeeping import prune, report

    actions: dict[str, Callable[[Path], Iterator[str]]] = {"report": report, "prune": prune}
    if what not in actions:
        raise RecipeError(f"command line: store={what}: {suggest(what, list(actions))}")
    for line in actions[what](_outputs(options)):
        _say(line)
    return True


def _say(line: str) -> None:
    """Print a line at once, whatever the names in it are."""
    print(printable(line), flush=True)


_COMMANDS: dict[str, Callable[[str, dict[str, str]], bool]] = {
    "resume": _resume,
    "reproduce": _reproduce,
    "verify": _verify,
    "store": _store,
}
_ALLOWED = {
    "resume": ("outputs",),
    "reproduce": ("tolerance", "device", "models.*", "memory.*"),
    "verify": (),
    "store": ("outputs",),
}


def _runs(folder: Path) -> list[Path]:
    """The run folders that a folder stands for: itself, or those of a sweep.

    Raises:
        RecipeError: it is the folder in which runs are made.
    """
    if Folder(folder).has(SWEEP):
        return [run for job in read_sweep(folder)["jobs"] if Folder(run := folder / job["folder"]).holds(RUN)]
    if not Folder(folder).holds(RUN) and (found := _newest_first(folder)):
        raise RecipeError(f"{folder}: holds runs, and is none itself; the newest in it: {found[0]}")
    return [folder]


def _newest_first(outputs: Path) -> list[Path]:
    """The runs and sweeps in a folder; their names begin with the time."""
    return sorted((path.parent for name in (RUN, SWEEP) for path in outputs.glob(f"*/{name}")), reverse=True)


def _outputs(options: Mapping[str, str]) -> Path:
    return recipe_file.home(options.get("outputs", "outputs"))


def _latest(outputs: Path) -> Path:
    """The run or sweep that was stopped and begun last."""
    found = [folder for folder in _newest_first(outputs) if not folder.is_symlink()]
    stopped = {folder: started for folder in found if (started := _stopped(folder))}
    if not stopped:
        reason = "all have come to their end; resume=RUN_DIR tries again what failed in one" if found else ""
        raise RecordError(f"{outputs}: holds no run that was stopped{'; ' * bool(reason)}{reason}")
    return max(stopped, key=stopped.__getitem__).absolute()


def _stopped(folder: Path) -> datetime | None:
    """When a run or sweep was started that has not come to its end; what failed in it is no such thing."""
    try:
        facts = read_facts(folder) if Folder(folder).holds(RUN) else read_sweep(folder)
    except RecordError:
        return None
    runs = facts.get("jobs", [facts])
    if all(run["status"] in ("done", "failed") for run in runs):
        return None
    return datetime.fromisoformat(facts["started"]).astimezone()


def _folder(place: str) -> Path:
    path = _existing(place)
    if not path.is_dir():
        raise RecipeError(f"{place}: not a folder")
    return path


def _existing(place: str) -> Path:
    path = recipe_file.home(place).absolute()
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
    raise RecipeError(f"{picture}: lies in no run folder; a picture is made again from the folder that it was made in")


def _tolerance(options: Mapping[str, str]) -> int:
    text = options.get("tolerance", "0")
    if not text.isdecimal() or len(text) > 3 or int(text) > 255:
        raise RecipeError(f"command line: tolerance={text}: a whole number from 0 to 255")
    return int(text)


def _value(text: str) -> Any:
    """A number or a truth value, as YAML would read it; else the text."""
    plain = {"true": True, "false": False, "null": None}
    return plain[text] if text in plain else int(text) if text.isdecimal() and len(text) < 10 else text
