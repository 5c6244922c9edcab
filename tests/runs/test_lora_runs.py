"""LoRAs on the command line: killed and resumed, made again where the file has moved, named by a table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from darkroom.models.loras import find_lora
from support.in_process import CliInProcess
from support.run_content import finished
from support.runs import CAR, Cli, journal, pixels

MODELS = ("models=miniature", "models.loras={ink: ink.safetensors}")


def world(folder: Path, lora: str) -> None:
    """A recipe for one small photo, and the LoRA `ink`."""
    for name in ("photos", "masks/photos"):
        (folder / name).mkdir(parents=True)
    with Image.open(CAR) as image:
        image.crop((300, 300, 396, 372)).save(folder / "photos/a.png")
    mask = np.zeros((72, 96), np.uint8)
    mask[20:50, 30:70] = 255
    for name in ("a.png", "photos/a.png"):  # as the folder, and as the table, name the photo
        Image.fromarray(mask).save(folder / "masks" / name)
    (folder / "table.jsonl").write_text('{"image": "photos/a.png", "style": {"ink": 1}}\n')
    dusk = load_file(find_lora("dusk", "miniature"))
    save_file(dusk, folder / "ink.safetensors", {"note": "other content than that of dusk.safetensors"})
    paint = f"inpaint: {{prompt: mars, lora: {lora}, steps: 2, guidance_scale: 1}}"
    stages = f"stages: {{mask_file: {{folder: masks}}, {paint}}}"
    (folder / "mine.yaml").write_text(f"dataset: {{images: photos}}\n{stages}\n")
    (folder / "table.yaml").write_text(f"dataset: {{manifest: table.jsonl}}\n{stages}\n")


@pytest.mark.slow
def test_a_run_that_was_killed_and_resumed_has_the_bytes_of_one_that_was_not(cli: Cli) -> None:
    here = CliInProcess(cli.folder)
    world(cli.folder, "[{ink: 0.5}, null, {ink: 1}]")
    words = ("recipe=mine.yaml", *MODELS, "stages.inpaint.seed=[0,1,2]", "memory.batch_size=1")
    assert here(*words, "outputs=whole").returncode == 0
    process = cli.start(*words)
    folder = cli.wait_for_pictures(process, 2)
    process.kill()
    process.communicate()
    done = here("resume=latest")
    assert done.returncode == 0, done.stderr
    assert content(folder) == content(next((cli.folder / "whole").glob("2*")))
    assert len({pixels(folder / line["result"]).tobytes() for line in journal(folder)}) == 9


def content(folder: Path) -> dict:
    """All that a run folder holds, save for what names the outputs folder."""
    found = finished(folder)
    del found["facts"]["overrides"]
    return {path: each for path, each in found.items() if not path.startswith((".hydra/", "recipe.yaml"))}


def test_a_lora_that_has_moved_is_found_by_its_content(
    quick_cli: CliInProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = quick_cli.folder
    world(folder, "{ink: 0.5}")
    assert quick_cli("recipe=mine.yaml", *MODELS).returncode == 0
    run = f"reproduce={quick_cli.run_folder()}"
    done = quick_cli(run)
    assert done.returncode == 0 and "1 of 1 pictures identical" in done.stdout and "loras" not in done.stdout

    (folder / "weights/loras").mkdir(parents=True)
    (folder / "ink.safetensors").rename(folder / "weights/loras/other.safetensors")
    monkeypatch.setenv("DARKROOM_WEIGHTS", str(folder / "weights"))
    done = quick_cli(run)
    assert done.returncode == 0 and "1 of 1 pictures identical" in done.stdout
    assert "loras.ink.name" in done.stdout and "weights/loras/other.safetensors" in done.stdout

    shutil.rmtree(folder / "weights")
    done = quick_cli(run)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"models.loras.ink={folder}/ink.safetensors: no such file" in done.stderr


def test_a_table_names_loras_and_the_record_knows_their_content(quick_cli: CliInProcess) -> None:
    world(quick_cli.folder, "'${item.style}'")
    done = quick_cli("recipe=table.yaml", *MODELS)
    assert done.returncode == 0, done.stderr
    run = quick_cli.run_folder()
    (line,) = journal(run)
    assert line["settings"][-1]["lora"] == {"ink": 1}
    assert json.loads((run / "run.json").read_text())["models"]["loras"]["ink"]["weights"].startswith("sha256:")

    (quick_cli.folder / "table.jsonl").write_text('{"image": "photos/a.png", "style": {"inc": 1}}\n')
    done = quick_cli("recipe=table.yaml", *MODELS)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "no LoRA 'inc' in models.loras, did you mean 'ink'? (table.jsonl:1)" in done.stderr


def test_full_size_models_do_not_know_dusk(quick_cli: CliInProcess) -> None:
    world(quick_cli.folder, "{dusk: 1}")
    known = quick_cli("recipe=mine.yaml", "models=miniature", "dry_run=true")
    assert known.returncode == 0 and "LoRA: dusk" in known.stdout
    words = ("models=sdxl", "models.inpaint=miniature", "models.sam=miniature", "models.clipseg=miniature")
    done = quick_cli("recipe=mine.yaml", *words)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "no LoRA 'dusk' in models.loras" in done.stderr
