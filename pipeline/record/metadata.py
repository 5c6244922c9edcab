"""What a result PNG says about itself: our own JSON and the widely read `parameters` text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def texts(recipe: str, photo: str, settings: Sequence[Mapping[str, Any]], models: Mapping[str, Any]) -> dict[str, str]:
    """Text chunks of a result.

    Args:
        recipe: the recipe's name.
        photo: the photo's name in its dataset.
        settings: every stage on the way to this picture: `stage`, `op` and its parameters.
        models: what was loaded, as `Models.describe` tells it.

    Returns:
        `darkroom`, JSON of all of this, and, where something was repainted, `parameters`: the prompt, the negative
        prompt and a line of settings of the last repaint, as web UIs and image managers read them.
    """
    everything = {"recipe": recipe, "photo": photo, "stages": list(settings), "models": dict(models)}
    chunks = {"darkroom": json.dumps(everything, ensure_ascii=False, default=str)}
    repaints = [each for each in settings if "prompt" in each]
    if repaints:
        chunks["parameters"] = _parameters(repaints[-1])
    return chunks


def _parameters(settings: Mapping[str, Any]) -> str:
    negative = settings.get("negative_prompt")
    shown = {
        "Steps": settings["steps"],
        "Sampler": settings["scheduler"],
        "CFG scale": settings["guidance_scale"],
        "Seed": settings["seed"],
        "Denoising strength": settings["strength"],
    }
    lines = [settings["prompt"], f"Negative prompt: {negative}" if negative else ""]
    return "\n".join([*filter(None, lines), ", ".join(f"{key}: {value}" for key, value in shown.items())])
