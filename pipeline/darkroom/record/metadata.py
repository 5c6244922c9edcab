"""What a result PNG says about itself: our own JSON and the widely read `parameters` text.

It holds no name and no path, so that the same picture is the same file in whatever run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from darkroom.record.schema import Metadata

_LABELS = MappingProxyType(
    {
        "steps": "Steps",
        "scheduler": "Sampler",
        "guidance_scale": "CFG scale",
        "seed": "Seed",
        "strength": "Denoising strength",
    }
)


def texts(photo: str, stages: Sequence[Mapping[str, Any]], models: Mapping[str, Any]) -> dict[str, str]:
    """Text chunks of a result.

    Args:
        photo: SHA-256 of the photo's file.
        stages: every stage on the way to this picture: `op` and its parameters.
        models: those that it was made with, as `Models.identity` tells each.

    Returns:
        `darkroom`, JSON of all of this, and, where something was repainted, `parameters`: the prompt, the negative
        prompt and a line of settings of the last repaint, as web UIs and image managers read them.
    """
    everything: Metadata = {"photo": photo, "stages": list(stages), "models": dict(models)}
    chunks = {"darkroom": json.dumps(everything, ensure_ascii=False)}
    repaints = [each for each in stages if "prompt" in each]
    if repaints:
        chunks["parameters"] = _parameters(repaints[-1])
    return chunks


def _parameters(settings: Mapping[str, Any]) -> str:
    negative = settings.get("negative_prompt")
    shown = [f"{label}: {settings[key]}" for key, label in _LABELS.items() if key in settings]
    lines = [settings["prompt"], f"Negative prompt: {negative}" if negative else ""]
    return "\n".join([*filter(None, lines), ", ".join(shown)])
