"""The text chunks of result PNGs: `darkroom`, JSON of our own, and `parameters`, which many tools read.

They hold no names and no paths, so that the same picture is the same file in every run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from darkroom.planning.cache_keys import parameters
from darkroom.planning.plan import Step, last_summary
from darkroom.record.reading import read_metadata
from darkroom.record.schema import Metadata
from darkroom.stages.base import GenerationSummary


def texts(photo: str, steps: Sequence[Step], models: Mapping[str, Any]) -> dict[str, str]:
    """Text chunks of a result.

    Args:
        photo: SHA-256 of the photo's file.
        steps: from the photo to this picture, without gates.
        models: the models it was made with: `Models.identity` by kind.

    Returns:
        `darkroom`, JSON of all arguments, and, if a stage generated something, `parameters`: the prompt, the negative
        prompt and a line of settings of the last such stage, as web UIs and image managers read them.
    """
    stages = [{"op": step.op, **parameters(step.stage)} for step in steps]
    everything: Metadata = {"photo": photo, "stages": stages, "models": dict(models)}
    chunks = {"darkroom": json.dumps(everything, ensure_ascii=False)}
    if summary := last_summary(steps):
        chunks["parameters"] = _parameters(summary)
    return chunks


def with_step(chunks: Mapping[str, str], step: Step) -> dict[str, str]:
    """The text chunks of a result after one more step, which has changed only its geometry."""
    everything = read_metadata(chunks.get("darkroom", ""))
    if everything is None:
        return dict(chunks)
    everything["stages"].append({"op": step.op, **parameters(step.stage)})
    return {**chunks, "darkroom": json.dumps(everything, ensure_ascii=False)}


def _parameters(summary: GenerationSummary) -> str:
    negative = summary.negative_prompt
    lines = [summary.prompt, f"Negative prompt: {negative}" if negative else ""]
    settings = ", ".join(f"{label}: {value}" for label, value in summary.settings.items())
    return "\n".join([*filter(None, lines), settings])
