"""Loads a transformers network and its processor from a folder, in fp32. Nothing is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from darkroom.errors import SetupError
from darkroom.models.library_logging import silence_libraries
from darkroom.models.load_errors import as_setup_error


def load_folder(folder: Path, kind: str, network: Any, processor: Any) -> tuple[Any, Any]:
    """A network, ready for inference on the CPU, and its processor.

    Args:
        folder: as `save_pretrained` writes it.
        kind: what it should hold, for the message.
        network: the network's class.
        processor: the processor's class.

    Raises:
        SetupError: the folder is damaged, incomplete or holds something else.
    """
    silence_libraries()
    with as_setup_error(folder, kind):
        loaded, report = network.from_pretrained(
            folder, local_files_only=True, dtype="float32", output_loading_info=True
        )
        prepared = processor.from_pretrained(folder, local_files_only=True)
    if report["missing_keys"]:  # transformers fills them with noise
        raise SetupError(f"{folder}: lacks tensors: {', '.join(sorted(report['missing_keys'])[:3])} ...")
    return loaded.eval(), prepared
