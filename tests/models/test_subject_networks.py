"""The networks that find a subject: names, sizes and colours are those of the file; odd files are refused."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from PIL import Image

from darkroom.errors import PhotoError, SetupError
from darkroom.models import Memory, ModelNames, Models
from darkroom.models.subject import SubjectGrabCut, SubjectNetwork, load_subject, onnxruntime_version, subject_device
from darkroom.models.subject_networks import NETWORKS
from darkroom.models.weights import find_weights
from miniature.examples import EXAMPLES, FLEET
from support.onnx_graphs import colour_graph, node, size_graph, write_graph
from support.runs import ROOT

COLOUR = np.array([120, 60, 30])
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
BY_MAXIMUM = (COLOUR / 120 - MEAN) / DEVIATION
IMAGENET = (COLOUR / 255 - MEAN) / DEVIATION
PUBLISHED = {  # what a network of this name must see of a photo in one colour
    "u2netp": BY_MAXIMUM,
    "u2net_human_seg": BY_MAXIMUM,
    "silueta": BY_MAXIMUM,
    "mine": BY_MAXIMUM,
    "isnet-general-use": COLOUR / 255 - 0.5,
    "isnet-anime": COLOUR / 255 - MEAN,
    "bria-rmbg-2.0": IMAGENET,
}


def flat(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), COLOUR, np.uint8)


def network(file: Path, threads: int = 1) -> SubjectNetwork:
    return load_subject(file, "cpu", threads)


def grey(probability: float) -> int:
    """The mask's value: 5 % and less is black, 95 % and more is white."""
    return round(255 * min(max((probability - 0.05) / 0.9, 0), 1))


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("channel", range(3))
def test_colours_are_those_that_the_network_was_published_with(name: str, channel: int, tmp_path: Path) -> None:
    found, _ = network(colour_graph(tmp_path / f"{name}.onnx", channel)).find(flat(8, 10))
    wanted = min(max(PUBLISHED[name][channel] / 5 + 0.5, 0), 1)
    assert abs(int(found[0, 0]) - grey(wanted)) <= 1
    assert (found[:, 8] == 0).all() and (found[:, 9] == 255).all()


@pytest.mark.parametrize("name", ["birefnet-general", "BiRefNet-general-bb_swin_v1_tiny-epoch_232", "birefnet-dis"])
def test_the_output_of_birefnet_needs_a_sigmoid_and_is_not_stretched(name: str, tmp_path: Path) -> None:
    found, _ = network(colour_graph(tmp_path / f"{name}.onnx", 0)).find(flat(8, 10))
    logits = [IMAGENET[0] / 5 + 0.5, 0, 1]
    assert [int(found[0, column]) for column in (0, 8, 9)] == [grey(1 / (1 + np.exp(-logit))) for logit in logits]


@pytest.mark.parametrize(
    ("name", "height", "width", "seen"),
    [
        ("u2netp", 40, 24, (40, 24)),
        ("isnet-general-use", 40, 24, (40, 24)),
        ("u2net", "h", "w", (320, 320)),
        ("mine", "h", 64, (320, 64)),
        ("birefnet-general", "h", "w", (1024, 1024)),
        ("isnet-anime", "h", "w", (1024, 1024)),
    ],
)
def test_the_input_has_the_size_of_the_graph_or_else_of_the_family(
    name: str, height: int | str, width: int | str, seen: tuple[int, int], tmp_path: Path
) -> None:
    found, _ = network(size_graph(tmp_path / f"{name}.onnx", height, width)).find(flat(1, 4))
    sigmoid = (lambda value: 1 / (1 + np.exp(-value))) if "birefnet" in name else (lambda value: value)
    assert found[0, :2].tolist() == [grey(sigmoid(side / 2048)) for side in seen]


def test_the_names_of_tensors_are_those_of_the_graph(tmp_path: Path) -> None:
    masks = [
        network(colour_graph(tmp_path / f"{name}.onnx", 0, name)).find(flat(8, 10))[0] for name in ("input.1", "x y")
    ]
    assert np.array_equal(*masks) and masks[0].shape == (8, 10)


def answering(file: Path, answer: np.ndarray) -> SubjectNetwork:
    """A network that answers this whatever it sees."""
    nodes = [
        node("ReduceMean", ["x"], "mean", axes=[1, 2, 3], keepdims=1),
        node("Mul", ["mean", "nothing"], "zero"),
        node("Add", ["zero", "always"], "answer"),
    ]
    constants = {"nothing": np.float32(0), "always": answer.astype(np.float32)}
    return network(write_graph(file, nodes, {"x": (1, 3, 8, 8)}, ("a", "b", "c", "d"), constants))


def test_the_confidence_is_lower_the_more_is_doubtful(tmp_path: Path) -> None:
    sure, doubtful = np.zeros((2, 1, 1, 4, 4))
    sure[..., :2] = 1
    doubtful[..., :2] = [1, 0.6]
    doubtful[..., 2] = 0.25
    found = [answering(tmp_path / "n.onnx", answer).find(flat(4, 4)) for answer in (sure, doubtful)]
    assert found[0][1] == 1
    assert found[1][1] == pytest.approx((4 * 1 + 4 * 0.6) / (8 + 4 * 0.25))
    assert found[1][0][0].tolist() == [255, grey(0.6), grey(0.25), 0]


@pytest.mark.parametrize("highest", [0, 0.02, 0.49])
def test_where_nothing_stands_out_the_mask_is_empty(highest: float, tmp_path: Path) -> None:
    answer = np.zeros((1, 1, 8, 8))
    answer[..., 3] = highest
    found, confidence = answering(tmp_path / "n.onnx", answer).find(flat(50, 70))
    assert not found.any() and found.shape == (50, 70) and confidence == 0


def test_numbers_that_are_none_fail_the_photo(tmp_path: Path) -> None:
    broken = answering(tmp_path / "n.onnx", np.full((1, 1, 2, 2), np.nan))
    with pytest.raises(PhotoError, match=r"^n\.onnx returns values that are no finite numbers$"):
        broken.find(flat(8, 8))


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (2, 1, 8, 8), (1, 8, 8), (1, 1, 8, 0), (1, 1, 1, 5000)])
def test_an_output_that_is_no_mask_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    nodes = [node("ConstantOfShape", ["shape"], "answer"), node("Shape", ["x"], "unused")]
    file = write_graph(tmp_path / "n.onnx", nodes, {"x": (1, 3, 8, 8)}, [f"d{i}" for i in range(len(shape))],
                       {"shape": np.array(shape)})  # fmt: skip
    with pytest.raises(SetupError, match=r"n\.onnx: returns [\dx ]+ numbers; a mask has 1 x 1 x height x width$"):
        network(file).find(flat(8, 8))


def relu(file: Path, **inputs: tuple[int | str, ...]) -> Path:
    """A graph with these inputs that returns its first."""
    return write_graph(file, [node("Relu", [next(iter(inputs))], "answer")], inputs, next(iter(inputs.values())))


@pytest.mark.fault(
    "Masks",
    "ONNX files for `subject`: text, empty, cut, of another kind, with a huge input, with tensors in other files",
    "one line that names the file; nothing else is read",
)
@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda file: file.write_text("hello"), "cannot be read as an ONNX network"),
        (lambda file: file.write_bytes(b""), "cannot be read as an ONNX network"),
        (lambda file: file.write_bytes(colour_graph(file, 0).read_bytes()[:200]), "cannot be read as an ONNX network"),
        (lambda file: relu(file, x=(1, 8, 8, 3)), r"turns tensor\(float\) \[1, 8, 8, 3\] into .* a network that finds"),
        (lambda file: relu(file, x=(3, 8, 8)), r"turns tensor\(float\) \[3, 8, 8\] into"),
        (lambda file: relu(file, x=(4, 3, 8, 8)), r"turns tensor\(float\) \[4, 3, 8, 8\] into"),
        (lambda file: relu(file, x=(1, 3, 8, 8), y=(1, 2)), r"\[1, 3, 8, 8\] and tensor\(float\) \[1, 2\] into"),
        (
            lambda file: write_graph(
                file, [node("Abs", ["x"], "answer")], {"x": (1, 3, 8, 8)}, (1, 3, 8, 8), kind=TensorProto.INT64
            ),
            r"turns tensor\(int64\)",
        ),
        (lambda file: relu(file, x=(1, 3, 100_000, 8)), "its input has 8 x 100000 px; the limit is 4096 px a side"),
        (lambda file: relu(file, x=(1, 3, 0, 8)), "its input has 8 x 0 px"),
    ],
)
def test_a_file_of_another_kind_is_one_line(make: Callable[[Path], object], line: str, tmp_path: Path) -> None:
    make(file := tmp_path / "n.onnx")
    with pytest.raises(SetupError, match=rf"^{re.escape(str(file))}: .*{line}") as caught:
        network(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["secret.bin", "../secret.bin", "ABSOLUTE"])
@pytest.mark.parametrize("length", [b"\x08", b"\x88\x00", b"\x88\x80\x80\x00"])
def test_tensors_outside_the_file_are_refused_unread(where: str, length: bytes, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "model"):
        folder.mkdir(exist_ok=True)
        (folder / "secret.bin").write_bytes(bytes(4))
    file = colour_graph(tmp_path / "model" / "n.onnx", 0)
    model = onnx.load(file)
    (tensor,) = (each for each in model.graph.initializer if each.name == "half")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", str(tmp_path / "secret.bin") if where == "ABSOLUTE" else where
    content = model.SerializeToString().replace(b"\n\x08location", b"\n" + length + b"location")
    assert content.count(b"location") == 1
    file.write_bytes(content)
    with pytest.raises(SetupError, match=r"n\.onnx: keeps tensors in other files; save the network as one file$"):
        network(file)


def test_a_word_that_only_looks_like_such_a_tensor_is_harmless(tmp_path: Path) -> None:
    file = colour_graph(tmp_path / "n.onnx", 0, "relocation_location")
    assert network(file).find(flat(8, 10))[0].shape == (8, 10)


@pytest.fixture(scope="module")
def u2netp() -> Path:
    """The real network, which `make setup` gets."""
    try:
        return find_weights("subject", "u2netp").path
    except SetupError as error:
        pytest.fail(f"run: make weights ({error})")


@pytest.mark.parametrize("name", ["car.png", "horse.png", "dog.png", "truck.jpg"])
def test_the_real_network_finds_what_a_picture_shows(name: str, u2netp: Path) -> None:
    picture = {**EXAMPLES, **FLEET}[name].scene()
    found, confidence = network(u2netp).find(picture.image)
    true = picture.objects[0].mask > 0.5
    assert ((found > 127) & true).sum() / ((found > 127) | true).sum() > 0.95
    assert confidence > 0.9


def test_the_real_network_finds_the_cup_in_a_photograph(u2netp: Path) -> None:
    image = np.asarray(Image.open(ROOT / "examples/coffee.jpg"))
    found, confidence = network(u2netp).find(image)
    cup, saucer, spoon = (found[y, x] for x, y in ((270, 60), (100, 230), (412, 76)))
    assert min(cup, saucer, spoon) > 250 and confidence > 0.95
    assert found[:, 500:].max() == found[:60, :150].max() == 0 and 0.45 < (found > 127).mean() < 0.55


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (2000, 1), (3, 3), (700, 500)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_the_real_network_finds_nothing_in_one_colour(shape: tuple[int, int], value: int, u2netp: Path) -> None:
    found, confidence = network(u2netp).find(np.full((*shape, 3), value, np.uint8))
    assert found.shape == shape and not found.any() and confidence == 0


def test_the_number_of_threads_changes_no_bit(u2netp: Path) -> None:
    image = EXAMPLES["horse.png"].scene().image
    assert np.array_equal(*(network(u2netp, threads).find(image)[0] for threads in (1, 3)))


def test_onnxruntime_without_cuda_works_on_the_cpu_of_a_machine_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert subject_device("cpu") == subject_device("mps") == "cpu"
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    assert subject_device("cuda:1") == "cpu"
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert subject_device("cuda:1") == "cuda:1"


def test_a_broken_onnxruntime_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libx.so: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    for call in (onnxruntime_version, lambda: subject_device("cuda")):
        with pytest.raises(
            SetupError, match=r"^models\.subject: onnxruntime cannot be imported: libx\.so: no such file"
        ):
            call()


def test_grabcut_finds_what_differs_from_the_border() -> None:
    image = np.full((300, 400, 3), (40, 90, 160), np.uint8)
    image += np.random.default_rng(0).integers(0, 9, image.shape, np.uint8)
    image[100:200, 120:280] = (200, 40, 30)
    found, confidence = SubjectGrabCut().find(image)
    inside = np.zeros((300, 400), bool)
    inside[100:200, 120:280] = True
    assert np.array_equal(found > 0, inside) and set(np.unique(found)) == {0, 255} and confidence is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (2, 2), (4000, 12)])
def test_a_photo_without_a_border_is_too_small_for_grabcut(shape: tuple[int, int]) -> None:
    with pytest.raises(PhotoError, match=rf"^{shape[1]} x {shape[0]} pixels are too small or too thin for grabcut$"):
        SubjectGrabCut().find(flat(*shape))


def test_the_identity_is_that_of_file_numerics_and_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def identity(file: Path) -> dict:
        return Models(ModelNames(subject=str(file)), Memory(), "cpu").identity("subject")

    one, copy, other = (colour_graph(tmp_path / f"{name}.onnx", int(name[1])) for name in ("a0", "b0", "c1"))
    before = identity(one)
    assert before == identity(copy) and before["weights"].startswith("sha256:") and before["libraries"]
    assert before["weights"] != identity(other)["weights"]
    monkeypatch.setattr("onnxruntime.__version__", "99.1.2")
    assert identity(one) == before | {"libraries": {"onnxruntime": "99"}}
    grabcut = Models(ModelNames(subject="grabcut"), Memory(), "cpu")
    assert grabcut.identity("subject")["weights"] == "grabcut" and grabcut.bytes_of(["subject"]) == 0


def test_every_network_is_documented_with_its_size() -> None:
    page = (ROOT / "docs/models.md").read_text()
    for name, published in NETWORKS.items():
        assert f"`{name}`" in page or f"`-{name.rpartition('-')[2]}`" in page
        assert published.size.partition(" ")[0] in page
