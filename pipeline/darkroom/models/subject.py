"""Finds the subject of a photo, the thing that stands out: with an ONNX network, or roughly with GrabCut."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from darkroom.errors import PhotoError, SetupError
from darkroom.models.grabcut import cut_out, reduced_size
from darkroom.models.load_errors import as_setup_error
from darkroom.models.subject_networks import Family, family_of

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_SURE = 0.05  # probabilities this close to 0 and 1 count as 0 and 1
_NOTHING = 0.5  # a network that is nowhere surer than this has found nothing
_MAX_SIDE = 4096  # px, of a network's input and output

_GRABCUT_SIDE, _ITERATIONS = 512, 5
_MARGIN = 0.05  # of width and height: this border of the photo is taken for background

# A tensor outside the file has an entry with this key. In a protobuf the length of a text, here 8, stands before it.
_KEY, _LENGTH_OF_KEY = b"location", re.compile(rb"(?:\x08|\x88\x80{0,8}\x00)\Z")


class SubjectNetwork:
    """A network that marks the subject of a photo.

    Args:
        session: an open file.
        file: it, for messages.
        family: what the network expects and returns.

    Raises:
        SetupError: the graph does not turn one picture into one mask.
    """

    def __init__(self, session: InferenceSession, file: Path, family: Family) -> None:
        self._session, self._file, self._family = session, file, family
        self._input, self._size = _input_of(session, file, family.side)
        self._output = session.get_outputs()[0].name  # U-2-Net returns six coarser masks after it

    def find(self, image: np.ndarray) -> tuple[np.ndarray, float]:
        """The subject of a photo, and how sure the network is.

        The photo is stretched to the network's input size, as the networks were trained; the mask is enlarged from it.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            The soft mask, (H, W) uint8, and a confidence from 0 to 1: the sum of the probabilities inside the outline
            at one half, divided by the number of pixels inside plus the sum of the probabilities outside. It is 1
            for a mask without doubtful pixels, and 0 if nothing is found.

        Raises:
            PhotoError: the network computes no numbers for this photo.
            SetupError: the network fails, or its output is no mask.
        """
        found = self._probabilities(self._run(self._prepared(image)))
        inside = found >= _NOTHING
        confidence = float(found[inside].sum()) / max(1.0, inside.sum() + float(found[~inside].sum()))
        certain = np.clip((found - _SURE) / (1 - 2 * _SURE), 0, 1)
        return _resized(np.rint(certain * 255).astype(np.uint8), image.shape[1::-1]), confidence

    def _prepared(self, image: np.ndarray) -> np.ndarray:
        """(1, 3, h, w) float32: the photo as the network expects it."""
        from PIL import Image

        resized = np.asarray(Image.fromarray(image).resize(self._size, Image.Resampling.LANCZOS), np.float32)
        largest = max(1.0, float(resized.max())) if self._family.by_maximum else 255.0
        mean, deviation = np.array(self._family.mean, np.float32), np.array(self._family.deviation, np.float32)
        return np.ascontiguousarray(((resized / largest - mean) / deviation).transpose(2, 0, 1)[None])

    def _run(self, prepared: np.ndarray) -> np.ndarray:
        """(h, w) float32: the network's output."""
        with as_setup_error(self._file, "a network that finds a subject"):
            (output,) = self._session.run([self._output], {self._input: prepared})
        one_mask = output.ndim == 4 and output.shape[:2] == (1, 1) and output.size > 0
        if not one_mask or max(output.shape) > _MAX_SIDE:
            shape = " x ".join(map(str, output.shape))
            raise SetupError(f"{self._file}: returns {shape} numbers; a mask has 1 x 1 x height x width")
        if not np.isfinite(output).all():
            raise PhotoError(f"{self._file.name} returns values that are no finite numbers")
        mask: np.ndarray = output[0, 0]
        return mask

    def _probabilities(self, output: np.ndarray) -> np.ndarray:
        """(h, w) float32 in [0, 1]: of each pixel, to belong to the subject. All 0 if the network found nothing."""
        if self._family.logits:
            likely: np.ndarray = 1 / (1 + np.exp(-np.clip(output, -50, 50)))
            return likely
        lowest, highest = float(output.min()), float(output.max())
        if highest < _NOTHING or lowest == highest:
            return np.zeros_like(output)
        return (output - lowest) / (highest - lowest)


class SubjectGrabCut:
    """GrabCut on nearly the whole photo: what differs in colour from the photo's border. A rough stand-in."""

    def find(self, image: np.ndarray) -> tuple[np.ndarray, None]:
        """The subject of a photo.

        Args:
            image: (H, W, 3) uint8 RGB.

        Returns:
            The mask, (H, W) uint8, 0 or 255, and no confidence.

        Raises:
            PhotoError: the photo is too small to have a border.
        """
        width, height = reduced_size(image.shape[1::-1], _GRABCUT_SIDE)
        if min(width, height) < 3:
            raise PhotoError(f"{image.shape[1]} x {image.shape[0]} pixels are too small or too thin for grabcut")
        x, y = (max(1, round(side * _MARGIN)) for side in (width, height))
        hints = np.full((height, width), cv2.GC_BGD, np.uint8)
        hints[y : height - y, x : width - x] = cv2.GC_PR_FGD
        return cut_out(image, hints, _ITERATIONS) * np.uint8(255), None


def load_subject(file: Path, device: str, threads: int) -> SubjectNetwork:
    """The network in an ONNX file, on the CPU or with onnxruntime's CUDA provider.

    Only tensors inside the file are used: a run identifies the network by this file, and other files are not its
    business. Results do not depend on the number of threads.

    Args:
        file: the ONNX file. Its name tells the family.
        device: `cpu`, `cuda` or `cuda:1`, from `subject_device`.
        threads: CPU threads for one photo. Several threads may ask the network at once.

    Raises:
        SetupError: the file is damaged, is no ONNX file, keeps tensors elsewhere, or holds another kind of network; or
            CUDA does not start.
    """
    with as_setup_error(file, "an ONNX network"):
        if _has_outside_tensors(file):
            raise SetupError(f"{file}: keeps tensors in other files; save the network as one file")
        session = _open(file, device, threads)
    if device != "cpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise SetupError(f"onnxruntime cannot start CUDA on {device}; install the plain onnxruntime to use the CPU")
    return SubjectNetwork(session, file, family_of(file))


def subject_device(device: str) -> str:
    """Where onnxruntime runs if the other models run on this device: there if it is CUDA and supported, else `cpu`."""
    if not device.startswith("cuda"):
        return "cpu"
    with _importing_onnxruntime():
        import onnxruntime

    return device if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else "cpu"


def onnxruntime_version() -> str:
    """The version of onnxruntime, whichever of its distributions is installed. Raises `SetupError` if it is broken."""
    with _importing_onnxruntime():
        import onnxruntime

    return str(onnxruntime.__version__)


@contextmanager
def _importing_onnxruntime() -> Iterator[None]:
    """Turns what a broken installation raises into a `SetupError`."""
    try:
        yield
    except (ImportError, OSError) as error:
        raise SetupError(f"models.subject: onnxruntime cannot be imported: {error}; or use grabcut") from error


def _open(file: Path, device: str, threads: int) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, too
    options.use_deterministic_compute = True
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # gives memory back after each photo
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # threads that wait leave the cores alone
    options.add_session_config_entry("session.load_model_format", "ONNX")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device != "cpu":
        onnxruntime.preload_dlls()  # torch's copies of the CUDA libraries
        number = device.partition(":")[2] or "0"
        exact = {"device_id": number, "use_tf32": "0", "cudnn_conv_algo_search": "DEFAULT"}
        providers.insert(0, ("CUDAExecutionProvider", exact))
    return onnxruntime.InferenceSession(str(file), options, providers=providers)


def _has_outside_tensors(file: Path) -> bool:
    if not file.stat().st_size:
        return False  # cannot be mapped; onnxruntime reports it
    with file.open("rb") as content, mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        found = mapped.find(_KEY)
        while found >= 0 and not _LENGTH_OF_KEY.search(mapped[max(0, found - 10) : found]):
            found = mapped.find(_KEY, found + 1)
        return found >= 0


def _input_of(session: InferenceSession, file: Path, side: int) -> tuple[str, tuple[int, int]]:
    """The name of the graph's input, and its (width, height); `side` for a dimension that the graph leaves open.

    Raises:
        SetupError: it is not one picture of channels, rows and columns as floats, or is too large.
    """
    inputs, outputs = session.get_inputs(), session.get_outputs()
    kinds = [f"{one.type} {one.shape}" for one in (*inputs, *outputs[:1])]
    shape = inputs[0].shape if len(inputs) == 1 else []
    open_or = [not isinstance(size, int) or size == wanted for size, wanted in zip(shape, (1, 3), strict=False)]
    floats = {one.type for one in (*inputs, *outputs[:1])} == {"tensor(float)"}
    if len(inputs) != 1 or len(shape) != 4 or not all(open_or) or not floats:
        raise SetupError(
            f"{file}: turns {' and '.join(kinds[: len(inputs)])} into {' '.join(kinds[len(inputs) :])}; a network that "
            "finds a subject turns tensor(float) [1, 3, height, width] into tensor(float) [1, 1, height, width]"
        )
    height, width = (size if isinstance(size, int) else side for size in shape[2:])
    if not 1 <= min(height, width) <= max(height, width) <= _MAX_SIDE:
        raise SetupError(f"{file}: its input has {width} x {height} px; the limit is {_MAX_SIDE} px a side")
    return inputs[0].name, (width, height)


def _resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An (h, w) uint8 mask at another (width, height)."""
    smaller = size[0] < mask.shape[1] or size[1] < mask.shape[0]
    resized: np.ndarray = cv2.resize(mask, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC)
    return resized
