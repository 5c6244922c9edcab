"""All that the bits of results depend on besides the recipe and the photos, to be compared between machines."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from darkroom.models import ModelKind, Models
from darkroom.models.device import hardware
from darkroom.system.files import digest_of

_PACKAGES = (
    *("darkroom", "torch", "torchvision", "diffusers", "transformers", "compel", "accelerate", "segment-anything"),
    *("peft", "spandrel", "safetensors", "onnxruntime", "onnxruntime-gpu", "numpy", "scipy", "pymatting"),
    *("opencv-python-headless", "pillow"),
)
_SHOWN = 16  # digits of the digest of the source code


def numerics(models: Models, kinds: Sequence[ModelKind], loras: Sequence[str]) -> dict[str, str]:
    """What must be equal on all machines, by names for people: models with weights, dtype, batch size, threads and
    device, exact versions of libraries, the source code of Darkroom, processor and GPU. Loads no model.

    Args:
        models: of this machine.
        kinds: the models that the run uses.
        loras: the names of the LoRAs that it may use.
    """
    described = models.describe(kinds, loras)
    facts = {f"models.{kind}: ": values for kind, values in described["weights"].items()}
    facts |= {f"models.loras.{name}: ": values for name, values in described.get("loras", {}).items()}
    flat = {prefix + key: value for prefix, values in facts.items() for key, value in _flat(values)}
    return {**flat, **_software(), **hardware(described["device"])}


def differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Where a machine would make other results, one line each."""
    names = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    return [f"{name} is {found.get(name, 'missing')}, not {expected.get(name, 'missing')}" for name in names]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value)


@cache
def _software() -> dict[str, str]:
    return {
        "Python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "the source code of Darkroom": _code(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _code() -> str:
    """A digest of all modules: commits say nothing about changed files, and a wheel has none."""
    root = Path(__file__).parents[1]
    lines = (f"{path.relative_to(root).as_posix()} {digest_of(path)}\n" for path in sorted(root.rglob("*.py")))
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_SHOWN]
