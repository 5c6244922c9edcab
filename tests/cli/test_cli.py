"""The command line: help, configuration, errors and exit codes. No model loads here."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from darkroom.cli.main import main
from support.runs import ROOT, Cli, environment


def test_help_lists_recipes_and_verbs(cli: Cli) -> None:
    done = cli("--help")
    assert done.returncode == 0 and not done.stderr
    assert "car_on_mars      Keep the car and put it " in done.stdout
    assert "-m recipe=NAME" in done.stdout


def test_cfg_shows_every_parameter_from_any_folder_and_makes_nothing(quick_cli: Cli) -> None:
    done = quick_cli(MARS, "--cfg", "job")
    assert done.returncode == 0, done.stderr
    for line in ("prompt: red desert of Mars, dusty sky", "guidance_scale:", "feather:", "choose: score", "seed:"):
        assert line in done.stdout
    assert str(ROOT / "examples/car.png") in done.stdout
    assert not list(quick_cli.folder.iterdir())


def test_completion_knows_recipes_and_parameters(cli: Cli) -> None:
    def complete(line: str) -> str:
        variables = {**environment(), "COMP_LINE": line, "COMP_POINT": str(len(line))}
        command = cli.command("-sc", "query=bash")
        return subprocess.run(command, env=variables, cwd=cli.folder, capture_output=True, text=True).stdout

    assert "recipe=car_on_mars" in complete("python run.py recipe=car_on")
    assert "stages.inpaint.prompt=" in complete("python run.py recipe=car_on_mars stages.inpaint.pro")


MARS = "recipe=car_on_mars"
OUTPUTS = "outputs: give a folder for the runs"


@pytest.mark.parametrize(
    "words, expected",
    [
        ([], "no recipe given: add recipe=NAME, valid: by_name, car_on_mars"),
        (["recipe=car_on_mrs"], "recipe 'car_on_mrs' not found, did you mean 'car_on_mars'?"),
        (["recipe=nowhere/mine.yaml"], "recipe 'nowhere/mine.yaml' not found"),
        ([MARS, "stages.inpaint.promt=x"], "stages.inpaint.promt: unknown key, did you mean 'prompt'?"),
        ([MARS, "stages.inpiant.prompt=x"], "did you mean 'inpaint'?"),
        ([MARS, "outpts=x"], "outpts: unknown key, did you mean 'outputs'?"),
        ([MARS, "+stages.inpaint.promt=x"], "stages.inpaint.promt: unknown key, did you mean"),
        ([MARS, "=3"], "command line: =3: expected KEY=VALUE"),
        (["-m", MARS, "stages.inpaint.seed=range(0,9,0)"], "seed=range(0,9,0): with a step of 0 a range has no end"),
        ([MARS, "stages.inpaint.steps=many"], "command line: stages.inpaint.steps: "),
        ([MARS, "stages.inpaint.prompt=a, b"], "quote text with"),
        ([MARS, "models=sdlx"], "command line: models=sdlx: did you mean 'sdxl'?"),
        ([MARS, "dataset.images=nothing.png"], "dataset.images"),
        (["recipe=null"], "no recipe given"),
        (["stages.inpaint.seed=1"], "no recipe given"),
        ([MARS, "models=null"], "command line: models=null: takes a name, such as auto"),
        ([MARS, "memory=null"], "command line: memory=null: takes a name"),
        ([MARS, "~models"], "command line: models: is required"),
        ([MARS, "~device"], "command line: device: one of auto, cpu"),
        ([MARS, "device=[cpu]"], "command line: device: one of auto, cpu"),
        ([MARS, "--resolve"], "unrecognized arguments: --resolve"),
        ([MARS, "outputs="], OUTPUTS),
        ([MARS, "outputs=null"], OUTPUTS),
        ([MARS, "outputs=[a]"], OUTPUTS),
        ([MARS, "~outputs"], OUTPUTS),
        ([MARS, "name=null"], "command line: name: 1 to 80 letters"),
        ([MARS, "~name"], "command line: name: 1 to 80 letters"),
        ([MARS, f"outputs={'x' * 300}"], "no folder can have this name"),
        ([f"outputs={'x' * 300}", "resume=latest"], "no folder can have this name"),
        (["recipe=" + "w" * 300], "not found"),
        (["-m", MARS, "stages.inpaint.seed=range(3,0)"], "no values, so there is nothing to run"),
        (["-m", MARS, "stages.inpaint.seed=range(0,1e999)"], "a sweep has 10,000 runs at most"),
        (["-m", MARS, "stages.inpaint.seed=range(0,200)", "stages.inpaint.steps=range(1,200)"], "10,000 runs at most"),
        ([MARS, "name=../../x"], "command line: name: 1 to 80 letters"),
        ([MARS, "+on_empt=skip"], "command line: on_empt: unknown key, did you mean 'on_empty'?"),
        ([MARS, "memory.offlod=x"], "memory.offlod: unknown key, did you mean 'offload'?"),
        ([MARS, "models.foo=null"], "models.foo: unknown key, valid: sam, clipseg, inpaint, subject"),
        ([MARS, "dataset.manifest=x.csv"], "command line: dataset: `images` and `manifest` are both given; add"),
        ([MARS, "stages.car.op=grabcut"], "command line: stages.car.box: is required"),
        (["-m", MARS, "stages.inpaint.promt=1,2"], "stages.inpaint.promt: unknown key, did you mean 'prompt'?"),
        (["-m", MARS, "stages.inpaint.steps=0"], "steps: should be a whole number from 1 to 1000"),
        (["recipe=photo_on_mars"], "dataset: give either `images`"),
    ],
)
def test_usage_errors_are_one_line_and_leave_nothing_behind(quick_cli: Cli, words: list[str], expected: str) -> None:
    done = quick_cli(*words)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr and "HYDRA_FULL_ERROR" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in quick_cli.folder.rglob("*")] == []


SEED, LORAS = "stages.inpaint.seed", "models.loras"


@pytest.mark.parametrize(
    "words, expected",
    [
        (
            [f"{SEED}={{count: 3}}", f"{SEED}=[1,2]"],
            f"{SEED}: given twice, as a mapping and as a list: {SEED}={{count: 3}}",
        ),
        ([f"{SEED}=[1,2]", f"{SEED}.count=4"], f"{SEED}: given twice, as a list and as a mapping: {SEED}=[1,2] and"),
        ([f"{LORAS}={{a: b}}", f"{LORAS}=[a]"], f"{LORAS}: given twice, as a mapping and as a list"),
        ([f"{LORAS}=[a]"], f"{LORAS}=[a]: should be a mapping; one key of it is set by {LORAS}.NAME=..."),
        (["results=[a]"], "results=[a]: should be a mapping; one key of it is set by results.what=..."),
        (["results.what={a: 1}"], "results.what={a: 1}: should be a list, as in 'results.what=[...]'"),
        (
            ["results.what.cutout=true"],
            "results.what is a list, which has no keys; give all of it: 'results.what=[...]'",
        ),
        (["results.what.7=mask"], "results.what.7=mask: the list has no such entry"),
        (["memory=3"], "memory=3: takes a name, such as auto; one key of it is set by memory.dtype=..."),
        (["models=[a]"], "models=[a]: takes a name, such as auto"),
        (["~stages.inpaint", f"{SEED}=3"], f"{SEED}: ~stages.inpaint removes it; leave out one of the two"),
        (["~stages.invrt"], "stages.invrt: unknown key, did you mean 'invert'?"),
    ],
)
def test_overrides_of_the_wrong_kind_are_named_with_what_would_be_right(
    capsys: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    assert main([MARS, "models=miniature", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("command line: ") and expected in line


def test_a_new_wildcard_may_be_given_as_any_other_key(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("wildcards.hue=[red,teal]", "wildcards={hue: [red, teal]}"):
        assert main([MARS, word, "stages.inpaint.prompt='${wildcard.hue} sand'", "--cfg", "job"]) == 0
        assert "hue:\n  - red\n  - teal" in capsys.readouterr().out


OWN_FILES = {"recipe.yaml": "mine", "index.html": "mine", "journal.jsonl": "mine", "results/a.png": "mine"}


@pytest.mark.fault(
    "Recipes and command lines",
    "Hydra options that move output: hydra.run.dir=., hydra.sweep.dir=., --config-dir",
    "refused with one line; the user's files stay as they are",
)
@pytest.mark.parametrize(
    "words, expected",
    [
        (
            ["hydra.run.dir=."],
            "hydra.run.dir=.: Hydra's own settings cannot be changed; outputs=DIR chooses",
        ),
        (["++hydra.run.dir=."], "++hydra.run.dir=.: Hydra's own settings"),
        (["hydra.output_subdir=x"], "hydra.output_subdir=x: Hydra's own settings"),
        (["-m", "hydra.sweep.dir=.", "hydra.sweep.subdir=."], "hydra.sweep.dir=.: Hydra's own settings"),
        (["-m", "hydra/launcher=joblib"], "hydra/launcher=joblib: Hydra's own settings"),
        (["~hydra.run"], "~hydra.run: Hydra's own settings"),
        (["+models@hydra.run=auto"], "+models@hydra.run=auto: Hydra's own settings"),
        (["--config-dir=."], "unrecognized arguments: --config-dir=."),
        (["--config-name", "foo"], "unrecognized arguments: --config-name"),
        (["--experimental-rerun", "x.pickle"], "unrecognized arguments: --experimental-rerun"),
    ],
)
def test_nothing_moves_what_a_run_writes(quick_cli: Cli, words: list[str], expected: str) -> None:
    for name, text in OWN_FILES.items():
        (quick_cli.folder / name).parent.mkdir(exist_ok=True)
        (quick_cli.folder / name).write_text(text)
    done = quick_cli(MARS, *words)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith(f"command line: {expected}")
    files = {
        path.relative_to(quick_cli.folder).as_posix(): path for path in quick_cli.folder.rglob("*") if path.is_file()
    }
    assert {name: path.read_text() for name, path in files.items()} == OWN_FILES


@pytest.mark.fault(
    "Reports and messages",
    "mistakes on the command line: a missing key, -m after the recipe, one layer of quotes",
    "one line that shows what to type instead",
)
@pytest.mark.parametrize(
    "words, expected",
    [
        (["car_on_mars"], "car_on_mars: did you mean recipe=car_on_mars?"),
        (["car_on_mrs", "device=cpu"], "car_on_mrs: did you mean recipe=car_on_mars?"),
        ([MARS, "fast"], "fast: expected KEY=VALUE, such as recipe=car_on_mars"),
        ([MARS, "steps=30"], "steps: unknown key, did you mean stages.inpaint.steps?"),
        ([MARS, "inpaint.steps=30"], "inpaint.steps: unknown key, did you mean stages.inpaint.steps?"),
        ([MARS, "offload=none"], "offload: unknown key, did you mean memory.offload?"),
        (["recipe=two_passes", "seed=7"], "seed: unknown key, did you mean stages.place.seed or stages.thing.seed?"),
        ([MARS, "dry_run=yes"], "dry_run=yes: true or false"),
        ([MARS, "dataset.images=/nowhere"], "dataset.images: /nowhere: no such file or folder"),
        (
            [MARS, "stages.inpaint.seed=1,2"],
            "stages.inpaint.seed=1,2: several values: add -m for one run per value, or [ ] around them for a list",
        ),
        (
            [MARS, "stages.inpaint.prompt=a car, (red)"],
            "a car, (red): cannot be read: quote text with commas or special characters twice: "
            "'stages.inpaint.prompt=\"a car, (red)\"'",
        ),
        ([MARS, 'stages.inpaint.prompt=it\'s "late"'], "'stages.inpaint.prompt=\"it'\\''s \\\"late\\\"\"'"),
        ([MARS, 'stages.inpaint.prompt=["a, b"'], "cannot be read: quote text with commas or special characters"),
        ([MARS, "--multi-run"], "unrecognized arguments: --multi-run"),
        ([MARS, "--cfg", "jobs"], "argument -c/--cfg: invalid choice: 'jobs'"),
    ],
)
def test_a_slip_is_answered_with_what_to_type(quick_cli: Cli, words: list[str], expected: str) -> None:
    done = quick_cli(*words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("command line: ") and expected in line and "hydra.cc" not in line


def test_a_folder_that_is_not_there_is_blamed_on_the_file_that_names_it(quick_cli: Cli) -> None:
    (quick_cli.folder / "mine.yaml").write_text("dataset: {images: nowhere}\nstages: {mask: {op: text, phrase: car}}")
    done = quick_cli("recipe=mine.yaml")
    assert done.returncode == 2
    assert done.stderr == f"mine.yaml: dataset.images: {quick_cli.folder}/nowhere: no such file or folder\n"


def test_options_may_stand_anywhere(quick_cli: Cli) -> None:
    done = quick_cli(MARS, "-m", "stages.inpaint.seed=1,2", "dry_run=true", "models=miniature")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 jobs; 2 photos, 2 pictures\n")
    done = quick_cli(MARS, "--cfg", "job", "stages.inpaint.seed=41")
    assert done.returncode == 0 and "seed: 41" in done.stdout
    assert not (quick_cli.folder / "outputs").exists()
    assert quick_cli("--cfg", "job", "--", MARS).returncode == 0


def test_the_version_is_our_own(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("Darkroom 0.")


def test_problems_of_recipe_and_settings_are_told_together(cli: Cli) -> None:
    done = cli(MARS, "stages.inpaint.steps=0", "memory.batch_size=0", "+foo=1", "device=null")
    assert done.returncode == 2
    for expected in ("stages.inpaint.steps: ", "memory.batch_size: ", "foo: unknown key", "device: one of"):
        assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 4


def test_every_job_of_a_sweep_has_its_own_reason(quick_cli: Cli) -> None:
    done = quick_cli(
        "-m", "recipe=car_on_mars,car_on_mrs,two_passes", "stages.car.choose=best", "stages.inpaint.steps=0"
    )
    assert done.returncode == 2 and not list(quick_cli.folder.iterdir())
    for expected in (
        "recipe 'car_on_mrs' not found",
        "car.choose: should be",
        "stages.car.choose: unknown key, valid: ",
    ):
        assert expected in done.stderr


def test_a_sweep_over_recipes_needs_no_special_words(quick_cli: Cli) -> None:
    done = quick_cli("-m", "recipe=car_on_mars,manifest", "stages.inpaint.steps=3", "models=miniature", "dry_run=true")
    assert done.returncode == 0 and done.stdout.startswith("2 jobs; ")


def test_a_sweep_over_a_bad_recipe_names_its_problem(quick_cli: Cli) -> None:
    (quick_cli.folder / "bad.yaml").write_text("dataset: {images: x.png}\nstages: [sam, invert]")
    done = quick_cli("-m", "recipe=bad.yaml,car_on_mars", "models=miniature", "dry_run=true")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("bad.yaml: stages: should be a mapping, each stage on a line with a colon")


def test_a_refused_sweep_gives_every_reason_once_and_leaves_nothing_behind(quick_cli: Cli) -> None:
    done = quick_cli("-m", "recipe=car_on_mars,manifest", "stages.inpaint.steps=choice(0)", "stages.inpaint.seed=1,2")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()  # the same for all four
    assert "stages.inpaint.steps: should be a whole number from 1 to 1000" in line
    assert not (quick_cli.folder / "outputs").exists()


def test_a_bug_is_told_with_its_traceback(cli: Cli) -> None:
    program = "from darkroom.cli import main\nmain._compose = lambda given: 1 / 0\n"
    program += "raise SystemExit(main.main(['recipe=x']))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment(), cwd=cli.folder, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" in done.stderr and "ZeroDivisionError" in done.stderr


GRABCUT = """
dataset: {images: nowhere.png}
stages:
  mask: {op: grabcut, box: [0.1, 0.1, 0.9, 0.9], units: fraction, iterations: 1}
"""


def test_the_recorded_recipe_can_be_run_again_from_anywhere(cli: Cli, tmp_path: Path) -> None:
    """Relative paths of the command line start at the folder it was typed in, then and later."""
    (cli.folder / "mine.yaml").write_text(GRABCUT)
    shutil.copy(ROOT / "examples/car.png", cli.folder / "here.png")
    done = cli("recipe=mine.yaml", "dataset.images=here.png", "device=cpu")
    assert done.returncode == 0, done.stderr
    recorded = cli.run_folder() / "recipe.yaml"
    assert f"images: {cli.folder}/here.png" in recorded.read_text()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = cli(f"recipe={recorded}", "device=cpu", cwd=elsewhere)
    assert again.returncode == 0, again.stderr


@pytest.mark.fault(
    "Run folders",
    "verify= and reproduce= with the folder that contains the runs, or with a quoted path",
    "the error names the newest run; one layer of quotes is removed, as in recipes",
)
def test_a_run_is_found_by_those_who_mean_it(quick_cli: Cli) -> None:
    (quick_cli.folder / "mine.yaml").write_text(GRABCUT)
    for name in ("nowhere.png", "photos/a.png", "photos/b.mov", "photos/c.txt"):
        (quick_cli.folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "examples/car.png", quick_cli.folder / name)
    assert quick_cli("recipe=mine.yaml", "device=cpu").returncode == 0
    done = quick_cli("recipe=mine.yaml", "device=cpu", "dataset.images=photos")
    strays = "skipped 2 files: 1 text or table (.txt), 1 video (.mov)"
    assert done.stdout.count(strays) == 1 and done.stdout.index(strays) < done.stdout.index("a.png: done")
    assert strays in quick_cli("recipe=mine.yaml", "dataset.images=photos", "dry_run=true").stdout
    _, newest = quick_cli.run_folders()
    for command in ("verify", "reproduce"):
        done = quick_cli(f"{command}=outputs")
        expected = f"{quick_cli.folder}/outputs: is not a run folder but holds some; the newest is {newest}\n"
        assert (done.returncode, done.stderr) == (2, expected)
        assert quick_cli(f'{command}="outputs/{newest.name}"').returncode == 0
    assert quick_cli("verify='outputs").stderr == "'outputs: no such file or folder\n"


def test_an_op_changed_on_the_command_line_takes_its_own_defaults(quick_cli: Cli) -> None:
    shutil.copy(ROOT / "examples/car.png", quick_cli.folder / "nowhere.png")
    (quick_cli.folder / "mine.yaml").write_text(GRABCUT + "  more: {op: refine, grow: 3}\n")
    done = quick_cli("-m", "recipe=mine.yaml", "stages.more.op=invert", "device=cpu", "name=one,two")
    assert done.returncode == 0, done.stderr
    sweep = quick_cli.run_folder()  # one folder, whatever the runs are called
    assert sweep.name.endswith("_sweep")
    assert {path.name for path in sweep.iterdir() if path.is_dir()} == {"0_one", "1_two"}
    assert yaml.safe_load((sweep / "0_one/recipe.yaml").read_text())["stages"]["more"] == {"op": "invert"}


NOTHING_WHITE = """
dataset: {images: photo.png}
on_empty: keep
stages:
  mask: {op: mask_file, folder: masks}
  inpaint: {prompts_file: prompts.txt}
"""


def test_the_record_holds_the_prompts_of_a_prompts_file(quick_cli: Cli) -> None:
    """A file named in a recipe lies beside it, one named on the command line in the current folder."""
    recipes = quick_cli.folder / "recipes"
    (recipes / "masks").mkdir(parents=True)
    (recipes / "mine.yaml").write_text(NOTHING_WHITE)
    (recipes / "prompts.txt").write_text("mars, (dusty)\n# not this\nvenus: ${\n")
    (quick_cli.folder / "prompts.txt").write_text("mars, (dusty)\n# not this\nvenus: $5\n")
    Image.new("RGB", (16, 16)).save(recipes / "photo.png")
    Image.new("L", (16, 16)).save(recipes / "masks/photo.png")
    done = quick_cli("recipe=recipes/mine.yaml", "device=cpu")
    assert done.returncode == 2 and "recipes/prompts.txt: line 3: of ${...}, a file of prompts" in done.stderr
    done = quick_cli("recipe=recipes/mine.yaml", "stages.inpaint.prompts_file=prompts.txt", "device=cpu")
    assert done.returncode == 0, done.stderr
    for file in ("recipe.yaml", ".hydra/config.yaml"):
        stage = yaml.safe_load((quick_cli.run_folder() / file).read_text())["stages"]["inpaint"]
        assert stage["prompt"] == ["mars, (dusty)", "venus: $5"] and stage["prompts_file"] is None


def test_a_column_of_the_manifest_named_on_the_command_line(quick_cli: Cli) -> None:
    (quick_cli.folder / "masks").mkdir()
    Image.new("RGB", (16, 16)).save(quick_cli.folder / "photo.png")
    Image.new("L", (16, 16)).save(quick_cli.folder / "masks/photo.png")
    (quick_cli.folder / "list.csv").write_text("image,what\nphoto.png,red car\n")
    (quick_cli.folder / "mine.yaml").write_text(NOTHING_WHITE.replace("prompts_file: prompts.txt", "prompt: a boat"))
    words = "recipe=mine.yaml", "dataset.images=null", "dataset.manifest=list.csv", "device=cpu"
    done = quick_cli(*words, 'stages.inpaint.prompt="a ${item.what}"')
    assert done.returncode == 0, done.stderr
    run = quick_cli.run_folder()
    assert yaml.safe_load((run / "recipe.yaml").read_text())["stages"]["inpaint"]["prompt"] == "a ${item.what}"
    again = quick_cli(f"recipe={run}/recipe.yaml", "device=cpu")
    assert again.returncode == 0, again.stderr
    assert quick_cli(f"reproduce={run}").returncode == 0


def test_a_recipe_of_ones_own_with_spaces_in_its_path(quick_cli: Cli) -> None:
    folder = quick_cli.folder / "my recipes"
    folder.mkdir()
    (folder / "mine.yaml").write_text("base: car_on_mars\nstages: {inpaint: {seed: 41}}\n")
    done = quick_cli("recipe='my recipes/mine.yaml'", "--cfg", "job")
    assert done.returncode == 0 and "seed: 41" in done.stdout and "name: mine" in done.stdout


def test_stages_can_be_left_out_and_added(quick_cli: Cli) -> None:
    done = quick_cli(MARS, "~stages.invert", "+stages.last={op: invert}", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "invert:" not in done.stdout and "last:" in done.stdout


def test_an_output_folder_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = cli(MARS, f"outputs={tmp_path}/file/below")
    assert done.returncode == 4
    assert str(tmp_path / "file") in done.stderr and "Traceback" not in done.stderr
