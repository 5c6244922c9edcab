"""`results.only=true`: the run folder has results and records, and says what can no longer be done with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from support.in_process import CliInProcess
from support.runs import journal

RECORDS = {"journal.jsonl", "run.json", "recipe.yaml", "run.log"}
WORDS = ["recipe=r.yaml", "results.only=true", "results.what=[picture,mask]"]


@pytest.fixture
def cli(tmp_path: Path) -> CliInProcess:
    """Two photos, one mask: one picture is finished and the other one fails."""
    for folder in ("photos", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 30), "green").save(tmp_path / "photos" / name)
    mask = Image.new("L", (40, 30))
    mask.paste(255, (10, 10, 20, 20))
    mask.save(tmp_path / "masks/a.png")
    stages = "stages:\n  drawn: {op: mask_file, folder: masks}\n  erase:\n"
    (tmp_path / "r.yaml").write_text(f"dataset: {{images: photos}}\n{stages}")
    return CliInProcess(tmp_path)


def kept(run: Path) -> set[str]:
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    return {path for path in files if not path.startswith(".hydra/")}


def test_only_results_and_records_are_kept(cli: CliInProcess) -> None:
    done = cli(*WORDS)
    assert done.returncode == 3 and "results.only=true: no photos, masks, steps and reports are kept; " in done.stdout
    run = cli.run_folder()
    assert kept(run) == {*RECORDS, "results/a.png", "results/a.mask.png"}
    finished, failed = journal(run)
    assert set(finished["files"]) == {"results/a.png", "results/a.mask.png"} and not failed["files"]
    assert finished["outside_max_diff"] == 0 and finished["settings"] and finished["steps"][-1]["key"]


def test_verify_and_reproduce_say_what_they_cannot_do(cli: CliInProcess) -> None:
    cli(*WORDS)
    run = cli.run_folder()
    done = cli(f"verify={run}")
    assert (
        done.returncode == 0 and "1 pictures not compared with their photos: the folder has results only" in done.stdout
    )
    refused = cli(f"reproduce={run}")
    assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
    assert "has results.only=true, so it lacks what its pictures could be compared with" in refused.stderr
    (run / "results/a.mask.png").chmod(0o600)
    (run / "results/a.mask.png").write_bytes(b"changed")
    done = cli(f"verify={run}")
    assert done.returncode == 3 and "results/a.mask.png: changed since it was written" in done.stdout


@pytest.mark.fault(
    "Resuming",
    "a run with `results.only=true` is resumed after a result was deleted and a mask added; with and without the store",
    "finished results stay, the deleted one comes back with the same bytes, the missing one is made",
)
@pytest.mark.parametrize("store_is_there", [True, False])
def test_a_run_with_results_only_can_be_resumed(cli: CliInProcess, store_is_there: bool) -> None:
    cli(*WORDS)
    run = cli.run_folder()
    whole = (run / "results/a.png").read_bytes()
    (run / "results/a.png").unlink()
    (cli.folder / "masks/b.png").write_bytes((cli.folder / "masks/a.png").read_bytes())
    if not store_is_there:
        (cli.folder / "outputs/.store").rename(cli.folder / "elsewhere")
    done = cli(f"resume={run}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (run / "results/a.png").read_bytes() == whole
    results = {f"results/{name}{kind}.png" for name in "ab" for kind in ("", ".mask")}
    assert kept(run) == RECORDS | results and cli(f"verify={run}").returncode == 0


def test_a_sweep_keeps_results_only(cli: CliInProcess) -> None:
    done = cli("-m", *WORDS, "stages.erase.radius=2,3")
    assert done.returncode == 3, done.stdout + done.stderr
    sweep = cli.run_folder()
    runs = [
        {f"{number}_r/{path}" for path in (*RECORDS - {"run.log"}, "results/a.png", "results/a.mask.png")}
        for number in (0, 1)
    ]
    assert {path for path in kept(sweep) if "/.hydra/" not in path} == {"sweep.json", "run.log", *runs[0], *runs[1]}
