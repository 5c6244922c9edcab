"""`make bench-gpu`: the same comparison with SDXL at full size on a GPU, in ten minutes.

    python -m benchmarks.gpu [--rounds N]
    python -m benchmarks.gpu memory.batch_size=8 memory.compile=true memory.dtype=bf16     # another memory=fast
    python -m benchmarks.gpu --tiny      # tiny models on the CPU, to test this program

It first writes the published architectures with random weights (8 GB), which take as long as real ones. A mask is
drawn, because a SAM with random weights finds nothing; it is called nevertheless. PYTHONPATH must hold `tests`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw

from benchmarks import cases, page
from benchmarks.contenders.work import GUIDANCE, MINIATURE, Work
from benchmarks.measure import Cost, Ratios, cost_of, in_turns, output_of, python

ROUNDS = 2
STEP_TFLOP, DECODE_TFLOP = 13.52, 10.47  # of SDXL at 1024 px, by torch's FlopCounterMode
RECIPE = """\
dataset: {{images: {photo}}}
on_empty: keep
stages:
  car: {{op: sam, points: [[{x}, {y}]]}}
  drawn: {{op: mask_file, file: {mask}}}
  inpaint: {{crop: photo, steps: {steps}, guidance_scale: {guidance}, strength: 1}}
"""
PEAK = """\
import time, torch
a, b = (torch.randn(8192, 8192, dtype=torch.bfloat16, device="cuda") for _ in range(2))
for seconds in (1, 3):
    torch.cuda.synchronize(); started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(10):
            a @ b
        torch.cuda.synchronize(); count += 10
    took = time.perf_counter() - started
print(2 * 8192**3 * count / took / 1e12)
"""
GPU = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else '')"


@dataclass(frozen=True)
class Setting:
    """What is measured where.

    Attributes:
        side: of the photo in px.
        steps: of denoising.
        prompts, seeds: how many; each makes a picture.
        device: `cuda` or `cpu`.
    """

    side: int
    steps: int
    prompts: int
    seeds: int
    device: str


FULL = Setting(side=1024, steps=30, prompts=4, seeds=4, device="cuda")
TINY = Setting(side=64, steps=2, prompts=2, seeds=1, device="cpu")


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often contenders take turns ({ROUNDS})")
    parser.add_argument("--tiny", action="store_true", help="tiny models on the CPU, to test this program")
    parser.add_argument("memory", nargs="*", help="settings on top of memory=fast, such as memory.offload=group")
    given = parser.parse_args()
    gpu = output_of(python("-c", GPU)).strip()
    if not given.tiny and not gpu:
        sys.exit("make bench-gpu needs a CUDA GPU; python -m benchmarks.gpu --tiny tests the program without")
    with cases.workshop() as folder:
        setting = TINY if given.tiny else FULL
        work = write_work(folder, setting)
        rows = measure(folder, work, given.rounds, given.memory)
        if not given.tiny:
            rows["limit"] = share_of_limit(folder, work, given.memory)
    lines = page.gpu_table(rows)
    print("\n".join(lines))
    if not given.tiny:
        page.write_gpu(lines, ", ".join([gpu, *given.memory]), given.rounds)


def write_work(folder: Path, setting: Setting) -> Work:
    """A photo, a mask, the models and a recipe; returns the work of all contenders."""
    photo, mask = folder / "photo.png", folder / "mask.png"
    size = (setting.side, setting.side)
    with Image.open(cases.CAR) as image:
        image.convert("RGB").resize(size).save(photo)
    drawn = Image.new("L", size, 255)
    ImageDraw.Draw(drawn).ellipse([setting.side // 4] * 2 + [setting.side // 2] * 2, fill=0)
    drawn.save(mask)
    words = RECIPE.format(photo=photo, mask=mask, x=9, y=9, steps=setting.steps, guidance=GUIDANCE)
    (folder / "recipe.yaml").write_text(words)
    sam, checkpoint = write_models(folder / "weights", tiny=setting.device == "cpu")
    prompts, seeds = cases.PROMPTS[: setting.prompts], tuple(range(setting.seeds))
    models = {"sam": str(sam), "checkpoint": str(checkpoint), "device": setting.device, "mask": str(mask)}
    return Work((str(photo),), prompts, seeds, setting.steps, str(folder / "out"), size=size, **models)


def write_models(folder: Path, tiny: bool) -> tuple[Path, Path]:
    """SAM and an SDXL inpainting checkpoint in fp16, in the published layouts with random weights."""
    from full_size import real
    from support.checkpoint_files import write_pipeline
    from support.tiny_models import write_tiny

    if tiny:
        return MINIATURE / "sam", write_tiny(folder, "sdxl-inpaint", variant="fp16")
    folder.mkdir()
    parts = {"unet": real.UNET, "vae": real.VAE, "text_encoder": real.TEXT, "text_encoder_2": real.TEXT_2}
    parts["scheduler"] = real.SCHEDULER
    real.write_sam(folder / "sam_vit_b.pth")
    pipeline = write_pipeline(folder / "sdxl", "StableDiffusionXLInpaintPipeline", parts, variant="fp16")
    return folder / "sam_vit_b.pth", pipeline


def measure(folder: Path, work: Work, rounds: int, memory: Sequence[str]) -> dict[str, Ratios | str]:
    """Darkroom beside the scripts and the floor."""

    def script(module: str, name: str, work: Work = work, *words: str) -> Callable[[], Cost]:
        file = replace(work, out=str(folder / name)).save(folder / f"{name}.json")
        return lambda: cost_of(python("-m", module, file, *words))

    single = replace(work, prompts=work.prompts[:1], seeds=work.seeds[:1])
    contenders = {
        "sweep": lambda: darkroom(folder, work, memory),
        "warm loop": script("benchmarks.contenders.warm_loop", "warm loop"),
        "batched loop": script("benchmarks.contenders.batched_loop", "batched loop"),
        "one process": script("benchmarks.contenders.warm_loop", "one process", single),
        "floor": script("benchmarks.floor", "floor", work, "1", str(os.cpu_count())),
    }
    darkroom(folder, single, memory)  # fills the caches of compilers, and fails early
    costs = in_turns(contenders, rounds, once=("one process",))
    costs["one process"] = [cost.times(work.pictures) for cost in costs["one process"]]
    ratios: dict[str, Ratios | str] = {
        "process": Ratios.of(costs["sweep"], costs["one process"]),
        "fast loop": Ratios.of(costs["sweep"], costs["warm loop"]),
        "fast batches": Ratios.of(costs["sweep"], costs["batched loop"]),
        "floor, one photo": Ratios.of(costs["sweep"], costs["floor"]),
    }
    return ratios


def darkroom(folder: Path, work: Work, memory: Sequence[str]) -> Cost:
    """Darkroom's run of a work, on a GPU with `memory=fast`, and with further settings of this group."""
    cases.empty(folder / "darkroom")
    words = (f"models.sam={work.sam}", f"models.inpaint={work.checkpoint}", f"device={work.device}")
    values = (f"stages.inpaint.prompt={list(work.prompts)}", f"stages.inpaint.seed={list(work.seeds)}")
    group = "memory=fast" if work.device == "cuda" else "memory=auto"
    where = (f"recipe={folder / 'recipe.yaml'}", f"outputs={folder / 'darkroom'}")
    return cost_of(cases.run(*where, group, *memory, *words, *values))


def share_of_limit(folder: Path, work: Work, memory: Sequence[str]) -> Ratios:
    """The arithmetic of further pictures ÷ what the GPU does in the time that they take: start-up does not count.

    The limit is what a product of two bf16 matrices of 8192 x 8192 reaches.
    """
    limit = float(output_of(python("-c", PEAK)))
    few, many = (replace(work, seeds=tuple(range(100, 100 + count))) for count in (2, 8))
    pictures = many.pictures - few.pictures
    tflop = pictures * (work.steps * STEP_TFLOP + DECODE_TFLOP)
    shares = []
    for _ in range(2):
        seconds = darkroom(folder, many, memory).wall - darkroom(folder, few, memory).wall
        print(f"    {seconds / pictures:.2f} s per further picture, limit {limit:.0f} TFLOP/s", flush=True)
        shares.append(tflop / seconds / limit)
    spread = (min(shares), sum(shares) / 2, max(shares))
    return Ratios(spread, spread)


if __name__ == "__main__":
    main()
