"""What may stand in `conf/models` and `conf/memory`, and what a device makes of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from darkroom.errors import RecipeError, SetupError
from darkroom.models import Memory, ModelNames, Models
from darkroom.models.device import resolve_memory

PLAIN = {"channels_last": False, "compile": False}
CONF = Path(__file__).resolve().parents[2] / "conf"


@pytest.mark.parametrize("group", [ModelNames, Memory])
def test_every_file_of_the_group_is_complete_and_valid(group: type[ModelNames | Memory]) -> None:
    files = sorted((CONF / group.group).glob("*.yaml"))
    assert files
    for file in files:
        settings = yaml.safe_load(file.read_text())
        settings.pop("defaults", None)  # Hydra's own
        assert asdict(group.parse(settings)) == settings, "a key that is missing cannot be overridden without +"


def test_all_problems_are_told_at_once_and_by_name() -> None:
    with pytest.raises(RecipeError) as caught:
        Memory.parse({"dtyp": "fp16", "batch_size": 0, "offload": "modl", "threads": 1000})
    told = str(caught.value)
    assert "memory.threads: 1000 should be less than or equal to 256 or 'auto'" in told
    assert "memory.dtyp: unknown key, did you mean 'dtype'?" in told
    assert "memory.batch_size: 0" in told
    assert "memory.offload: 'modl' should be 'auto', 'none', 'model', 'sequential' or 'group'" in told
    with pytest.raises(RecipeError, match=r"models\.inpant: unknown key, did you mean 'inpaint'\?"):
        ModelNames.parse({"inpant": "x"})


def test_auto_on_a_cpu_is_plain_fp32() -> None:
    settled = resolve_memory(Memory(vae_tiling=True), "cpu")
    assert settled == Memory(dtype="fp32", offload="none", vae_slicing=False, vae_tiling=True, batch_size=1, **PLAIN)


@pytest.mark.parametrize(
    ("instructions", "dtype"),
    [(b"flags : fpu avx512_bf16 vaes", "bf16"), (b"flags : fpu avx512f", "fp32"), (b"", "fp32")],
)
def test_half_on_a_cpu_is_what_it_has_instructions_for(
    instructions: bytes, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darkroom.models.device._about_the_processor", lambda: instructions)
    file = Memory.parse(yaml.safe_load((CONF / "memory/fast.yaml").read_text()))
    assert resolve_memory(file, "cpu").dtype == dtype
    assert resolve_memory(replace(file, dtype="fp16"), "cpu").dtype == "fp16"  # what is asked for by name


@pytest.mark.parametrize(("total", "name"), [(24, "fast"), (12, "balanced"), (8, "low")])
def test_auto_on_a_gpu_is_the_file_that_fits(monkeypatch: pytest.MonkeyPatch, total: int, name: str) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _device: (2**30, total * 2**30))  # nearly all is in use now
    file = Memory.parse(yaml.safe_load((CONF / "memory" / f"{name}.yaml").read_text()))
    expected = replace(file, dtype="fp16", channels_last=True) if name == "fast" else file
    assert resolve_memory(Memory(), "cuda") == resolve_memory(file, "cuda") == expected


def test_workers_share_the_cores_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("darkroom.models.loaded.usable_cores", lambda: 6)
    found = [Models(ModelNames(), Memory(threads=threads), device="cpu").workers for threads in (1, 2, 4, 12)]
    assert found == [6, 3, 1, 1]
    monkeypatch.setattr("darkroom.models.loaded.usable_cores", lambda: 64)
    assert Models(ModelNames(), Memory(threads=1), device="cpu").workers == 8
    assert Models(ModelNames(), Memory(threads=1, workers=20), device="cpu").workers == 20


@pytest.mark.parametrize("memory", [Memory(offload="model"), Memory(offload="sequential")])
def test_what_a_cpu_cannot_do_is_said_in_one_line(memory: Memory) -> None:
    with pytest.raises(SetupError, match=r"^memory\.\w+=\w+: .*CPU[^\n]*$"):
        Models(ModelNames(), memory, device="cpu")


def test_the_number_of_threads_is_settled_and_in_the_identity_of_what_computes_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    miniature = dict.fromkeys(("sam", "clipseg", "inpaint"), "miniature")
    monkeypatch.setattr("darkroom.models.device.usable_cores", lambda: 6)
    for asked, expected in (("", 6), ("3", 3), ("0", 6)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert Models(ModelNames(**{**miniature, "sam": "vit_h"}), Memory(), "cpu").memory.threads == expected
        assert Models(ModelNames(**miniature), Memory(), "cpu").memory.threads == 1
    two = Models(ModelNames(**miniature, subject="grabcut"), Memory(threads=2), "cpu")
    assert two.resolved_settings()["memory"]["threads"] == 2
    told = {kind: two.identity(kind).get("threads") for kind in ("sam", "clipseg", "inpaint", "subject", "matting")}
    assert told == {"sam": 2, "clipseg": 2, "inpaint": 2, "subject": None, "matting": None}
    monkeypatch.setattr("darkroom.models.chosen.choose_device", lambda wanted: wanted)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _device: (2**30, 24 * 2**30))
    assert "threads" not in Models(ModelNames(**miniature), Memory(threads=2), "cuda").identity("inpaint")


def test_without_a_compiler_nothing_is_compiled_and_this_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    compiled = resolve_memory(Memory(compile=True), "cpu")
    assert compiled.compile is compiled.channels_last is True and not caplog.text
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert resolve_memory(Memory(compile=True), "cpu").compile is False
    assert "memory.compile=true: needs a C++ compiler" in caplog.text


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(SetupError, match=r"device=cuda:7: this machine has .*cpu"):
        Models(ModelNames(), Memory(), device="cuda:7")


def test_the_summary_names_what_is_taken() -> None:
    assert (
        Models(ModelNames(), Memory(), device="cpu")
        .summary(["sam"])
        .endswith("the miniature models (a preview on real photographs)")
    )
    some = Models(ModelNames(inpaint="a/b"), Memory(), device="cpu")
    assert some.summary(["inpaint"]) == "sam=miniature, clipseg=miniature, inpaint=a/b on cpu (fp32)"
    miniature = dict.fromkeys(("sam", "clipseg", "inpaint"), "miniature")
    other = Models(ModelNames(**miniature, subject="grabcut"), Memory(), device="cpu")
    assert other.summary(["subject"]) == "the miniature models (a preview on real photographs); subject=grabcut"
    assert Models(ModelNames(**miniature), Memory(), device="cpu").summary([]) == other.summary(["sam"])


def test_checking_a_recipe_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'diffusers', 'onnxruntime'}"
    code = f"import sys, darkroom.models, darkroom.models.names; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=CONF.parent, check=True)
    assert done.stdout.strip() == "set()"
