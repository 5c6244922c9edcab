"""A key says what a result is: it changes with all that the result depends on, and with nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

import darkroom.models.chosen
import darkroom.planning.cache_keys
from darkroom.config.recipe import parse
from darkroom.dataset import Photo
from darkroom.models import Memory, ModelNames, Models
from darkroom.models.weights import MINIATURE_WEIGHTS, ModelFiles
from darkroom.planning.cache_keys import Keys, output_key
from darkroom.planning.plan import Step, StepPlanner
from darkroom.stages import STAGES, Stage
from darkroom.stages.fields import Threshold
from darkroom.stages.inpaint import Inpaint
from darkroom.stages.markers import FileNamePart, PathField, StageName
from darkroom.stages.refine import Refine
from darkroom.system.frozen import FrozenDict
from support.runs import environment

VALID: Mapping[str, Mapping[str, Any]] = {
    "subject": {},
    "sam": {"points": [[1, 1]]},
    "text": {"phrase": "a car"},
    "find": {"phrase": "a car"},
    "clip_diff": {"source": "a horse", "target": "a zebra"},
    "grabcut": {"box": [0, 0, 1, 1]},
    "mask_file": {"folder": "masks"},
    "refine": {},
    "matte": {},
    "invert": {},
    "combine": {"mask": "car"},
    "gate": {"coverage": [0, 1]},
    "inpaint": {"prompt": "mars"},
    "upscale": {},
    "snap": {"phrase": "a car"},
    "auto": {"choose": "text", "phrase": "a car"},
    "erase": {},
    "diffedit": {"reference": "a horse", "query": "a zebra"},
    "diffedit_repaint": {"prompt": "a zebra"},
    "frame": {"aspect": "1:1"},
    "background": {"gradient": ["white", "black"]},
    "shadow": {},
}
VALID_WITH: Mapping[tuple[str, str], Mapping[str, Any]] = {  # what goes with one parameter alone
    ("auto", "point"): {},
    ("frame", "size"): {},
    **{("background", kind): {} for kind in ("colour", "gradient", "blur")},
    ("mask_file", "resize"): {"alpha": True},  # a folder would need a mask
    ("inpaint", "negative_prompt_2"): {"prompt": "mars", "negative_prompt": ""},
}
ANY = str(MINIATURE_WEIGHTS / "clipseg")  # any weights
CONTROLS = {"canny": ANY, "depth": ANY}
_COLOURS = st.sampled_from(["white", "#000", "#f4f4f4"])
_SHARES = st.floats(0, 1).map(lambda number: number + 0.0)
WORDS: Mapping[tuple[str, str], st.SearchStrategy[Any]] = {  # where hardly any other text is valid
    ("frame", "aspect"): st.sampled_from(["1:1", "4:5", "16:9"]),
    ("frame", "size"): st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)),
    ("background", "colour"): _COLOURS,
    ("background", "gradient"): st.lists(_COLOURS, min_size=2, max_size=4),
    ("frame", "fill"): st.sampled_from(["edge", "mirror", "transparent", "white", "#000"]),
    ("find", "area"): st.tuples(_SHARES, _SHARES).map(sorted) | st.none(),
    ("inpaint", "control"): st.none() | st.dictionaries(st.sampled_from(["canny", "depth"]), st.floats(0, 2)),
}
PARAMETERS = [(op, name) for op, kind in STAGES.items() if not kind.is_gate for name in kind.__pydantic_fields__]
PLACES = [
    *(("mask_file", name) for name in ("folder", "prefix", "suffix", "file")),
    *(
        ("combine", "mask"),
        ("inpaint", "control_images"),
        ("inpaint", "control_masks"),
        ("inpaint", "reference"),
        ("inpaint", "prompts_file"),
        ("background", "picture"),
    ),
]
BOTH_OR_NONE = ("mask_file", "alpha")  # it goes with no folder, and a folder without it
LORA = ("inpaint", "lora")  # its names are no part of the key, the files and the weights are


def values(kind: Any, bounds: Sequence[Any] = ()) -> st.SearchStrategy[Any]:
    """Anything of a parameter's type, within its bounds."""
    if kind == Threshold or (kind, list(bounds)) == (float | str, list(Threshold.__metadata__)):
        return st.floats(0, 1).map(lambda number: number + 0.0) | st.sampled_from(["otsu", "p5", "p90"])
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return values(inner[0], [mark for each in inner[1:] for mark in getattr(each, "metadata", [each])])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(values(inner[0]), max_size=3) if inner[-1] is Ellipsis else coordinates(len(inner))
    if origin is not None:  # a union
        return st.one_of(*(values(each, bounds) for each in inner))
    low = next((each.ge if isinstance(each, Ge) else each.gt for each in bounds if isinstance(each, Ge | Gt)), 0)
    high = next((each.le for each in bounds if isinstance(each, Le)), 2000)
    plain = {
        type(None): st.none(),
        bool: st.booleans(),
        str: st.text(st.characters(codec="utf-8"), max_size=8),
        int: st.integers(low, high),
        float: st.floats(low, high).map(lambda number: number + 0.0),  # -0.0 is 0.0
    }
    return plain[kind]


def coordinates(number: int) -> st.SearchStrategy[list[float]]:
    """A point, or a box."""
    point = st.lists(st.floats(0, 2000), min_size=2, max_size=2)
    if number == 2:
        return point
    return st.tuples(point, point).map(lambda two: [*map(min, *two), *map(max, *two)])


def a_stage(op: str, given: Mapping[str, Any]) -> Stage:
    """A stage; values that do not go together are drawn again."""
    try:
        return STAGES[op](**given)
    except ValidationError:
        assume(False)
        raise


def models(memory: Memory | None = None, device: str = "cpu") -> Models:
    names = {"sam": "miniature", "clipseg": "miniature", "inpaint": "miniature", "lama": __file__, "depth": ANY}
    return Models(ModelNames(**names, controls=CONTROLS), memory or Memory(), device)


MODELS = models()
KEYS = Keys(MODELS)


def non_key_fields(kind: type[Stage]) -> list[str]:
    unkeyed = [name for marker in (PathField, FileNamePart, StageName) for name in kind.fields_with(marker)]
    return [name for name in kind.__pydantic_fields__ if name in unkeyed]


def key_of(op: str, stage: Stage, keys: Keys = KEYS) -> str:
    return keys.step(op, stage, "the parent's", {"car": "one mask's", "other": "one mask's"}, "photo.png")


@pytest.mark.parametrize("op, name", [pair for pair in PARAMETERS if pair not in (*PLACES, BOTH_OR_NONE, LORA)])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_parameter_is_part_of_the_key(op: str, name: str, data: st.DataObject) -> None:
    field = STAGES[op].__pydantic_fields__[name]
    drawn = WORDS[op, name] if (op, name) in WORDS else values(field.annotation, field.metadata)
    others = VALID_WITH.get((op, name), VALID[op])
    one = a_stage(op, {**others, name: data.draw(drawn)})
    other = a_stage(op, {**others, name: (second := data.draw(drawn))})
    assert (key_of(op, one) == key_of(op, other)) == (one == other)
    changed = one.with_values({name: second})
    assert repr(changed) == repr(other), "checked alone, a parameter is what it is in a new stage"
    assert key_of(op, changed or one) == key_of(op, other, Keys(MODELS)), "earlier stages do not change a key"


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": "many"}, {"prompt": None}, {"negative_prompt_2": "rain"}])
def test_a_changed_stage_is_checked(wrong: Mapping[str, Any]) -> None:
    assert Inpaint(prompt="mars").with_values({"prompt": "venus", **wrong}) is None


def test_loras_are_part_of_the_key_by_content_and_weight_alone(tmp_path: Path) -> None:
    for name, content in (("one", "1"), ("copy", "1"), ("two", "2")):
        (tmp_path / f"{name}.safetensors").write_text(content)
    names = FrozenDict({name: str(tmp_path / f"{name}.safetensors") for name in ("one", "copy", "two")})
    keys = Keys(Models(ModelNames(inpaint="miniature", loras=names), Memory(), "cpu"))

    def key(lora: Any) -> str:
        return keys.step("inpaint", Inpaint(prompt="mars", lora=lora), "the parent's", {}, "photo.png")

    assert key(None) == key({}) == key({"one": 0}) == key_of("inpaint", Inpaint(prompt="mars"))
    assert key({"one": 0.5}) == key({"copy": 0.5}) == key({"one": 0.25, "copy": 0.25})
    assert key({"one": 0.5, "two": 1}) == key({"two": 1, "one": 0.5})
    assert len({key(None), key({"one": 0.5}), key({"two": 0.5}), key({"one": 1}), key({"one": 0.5, "two": 1})}) == 5


def test_places_are_no_part_of_the_key_and_what_is_found_there_is(tmp_path: Path) -> None:
    assert [(op, name) for op, kind in STAGES.items() for name in non_key_fields(kind)] == PLACES
    key = key_of("combine", STAGES["combine"](mask="car"))
    assert key == key_of("combine", STAGES["combine"](mask="other"))
    assert key != key_of("combine", STAGES["combine"](mask="a third"))
    for folder, colour in (("one", 1), ("two", 1), ("three", 3)):
        (tmp_path / folder).mkdir()
        Image.new("L", (4, 4), colour).save(tmp_path / folder / "photo.png")
    files = [STAGES["mask_file"](folder=str(tmp_path / folder)) for folder in ("one", "two", "three")]
    (tmp_path / "three/photo.png").rename(tmp_path / "three/my photo_mask.png")
    files[2] = STAGES["mask_file"](folder=str(tmp_path / "three"), prefix="my ", suffix="_mask")
    files += [STAGES["mask_file"](file=str(tmp_path / "two/photo.png")), STAGES["mask_file"](alpha=True)]
    one, two, three, file, alpha = (key_of("mask_file", each) for each in files)
    assert one == two == file and len({one, three, alpha}) == 3


class World:
    """A photo, its mask and a recipe; each test changes a thing about them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.photo = "photos/car.png"
        self.masks = "masks"
        self.item: dict[str, Any] = {}
        self.name = "test"
        self.stages: dict[str, Any] = {
            "car": {"op": "mask_file"},
            "wide": {"op": "refine", "grow": 3, "feather": 2},
            "both": {"op": "combine", "mask": "car", "how": "difference"},
            "heat": {"op": "text", "phrase": "a car"},
            "once": {"op": "invert"},
            "twice": {"op": "invert"},
            "paint": {"op": "inpaint", "prompt": ["mars", "snow"], "seed": [1, 2]},
        }

    def keys(self, models: Models) -> list[list[str]]:
        """Of the photo, and of the steps of each stage."""
        photo, mask = self.folder / self.photo, self.folder / self.masks / Path(self.photo).name
        for path, colour in ((photo, (9, 9, 9)), (mask, 77)):
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                Image.new("RGB" if path is photo else "L", (8, 8), colour).save(path)
        first = next(iter(self.stages))
        stages = self.stages | {first: {**self.stages[first], "folder": str(mask.parent)}}
        dataset = {"manifest": "photos.csv"} if self.item else {"images": str(photo)}
        recipe = parse({"name": self.name, "dataset": dataset, "stages": stages}, "test")
        keys = Keys(models)
        found = [[keys.photo(Photo(photo, photo.name).digest())], *([] for _ in stages)]
        for index, key in below(keys, StepPlanner(recipe).tree(self.item), found[0][0], {}, photo.name):
            found[index].append(key)
        return found


def below(
    keys: Keys, steps: Sequence[Step], parent: str, above: Mapping[str, str], name: str
) -> Iterator[tuple[int, str]]:
    """The keys of a tree, each with its stage's place in the recipe."""
    for step in steps:
        key = keys.step(step.op, step.stage, parent, above, name)
        yield step.place, key
        content = output_key(step.stage, key, parent)
        yield from below(keys, step.children, content, above | {step.name: content}, name)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def together(found: list[list[str]]) -> set[str]:
    return {key for keys in found for key in keys}


def rename_stages(world: World) -> None:
    world.stages = {f"my_{name}": dict(stage) for name, stage in world.stages.items()}
    world.stages["my_both"]["mask"] = "my_car"


def take_the_prompts_from_a_manifest(world: World) -> None:
    world.item = {"one": "mars", "phrase": "a car", "unused": 5}
    world.stages["paint"]["prompt"] = ["${item.one}", "snow"]
    world.stages["heat"]["phrase"] = "${item.phrase}"


def age(world: World) -> None:
    for path in (world.folder / world.photo, world.folder / world.masks / "car.png"):
        os.utime(path, (0, 0))
        path.chmod(0o600)


@pytest.mark.parametrize(
    "change",
    [
        lambda world: setattr(world, "photo", "photos/horse.png"),
        lambda world: setattr(world, "photo", "elsewhere/deep/car.png"),
        lambda world: setattr(world, "masks", "other/masks"),
        lambda world: setattr(world, "name", "another"),
        lambda world: world.stages.update(paint=dict(reversed(world.stages["paint"].items()))),
        rename_stages,
        take_the_prompts_from_a_manifest,
        age,
    ],
)
def test_no_name_path_or_time_is_part_of_a_key(world: World, change: Callable[[World], None]) -> None:
    before = world.keys(models())
    change(world)
    assert world.keys(models()) == before


def test_every_place_in_a_recipe_has_its_own_key(world: World) -> None:
    found = world.keys(models())
    assert [len(keys) for keys in found] == [1, 1, 1, 1, 1, 1, 1, 4]
    assert len(together(found)) == 11
    order = ["car", "both", "wide", "heat", "once", "twice", "paint"]
    world.stages = {name: world.stages[name] for name in order}
    other = world.keys(models())
    assert other[:2] == found[:2] and not together(other[2:]) & together(found)


class Patched:
    """Models of machines that are not there, and a library or an op that has changed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(darkroom.models.chosen, "choose_device", lambda wanted: wanted)
        monkeypatch.setattr(darkroom.models.chosen, "resolve_memory", lambda memory, *_: memory)
        self.set = monkeypatch.setattr

    def memory(self, device: str = "cuda", **changes: Any) -> Models:
        usual = {"dtype": "fp16", "offload": "none", "vae_slicing": True, "vae_tiling": False, "batch_size": 4}
        return models(Memory(**{**usual, **changes}), device)

    def weights(self) -> Models:
        self.set(ModelFiles, "identity", lambda place: f"sha256:other {place.path.name}")
        return self.memory()

    def op(self) -> Models:
        self.set(Refine, "version", 99)
        return self.memory()

    def series(self) -> Models:
        self.set(darkroom.models.chosen, "_series", lambda release: "99")
        return self.memory()

    def libraries(self) -> Models:
        self.set(darkroom.planning.cache_keys, "_libraries", lambda: {"numpy": "99"})
        return self.memory()

    def ran_out_of_memory(self) -> Models:
        found = self.memory()
        found._loaded["inpaint"] = type("Halved", (), {"batch_size": 2})()
        return found


@pytest.mark.parametrize(
    "change, first",
    [
        (lambda patched: patched.libraries(), 0),
        (lambda patched: patched.op(), 2),
        (lambda patched: patched.series(), 4),
        (lambda patched: patched.weights(), 4),
        (lambda patched: patched.memory("mps"), 4),
        (lambda patched: patched.memory("cpu"), 4),
        (lambda patched: patched.memory(dtype="bf16"), 7),
        (lambda patched: patched.memory(weights="int8"), 7),
        (lambda patched: patched.memory(batch_size=2), 7),
        (lambda patched: patched.ran_out_of_memory(), 7),
        (lambda patched: patched.memory(vae_slicing=False), 7),
        (lambda patched: patched.memory(vae_tiling=True), 7),
        (lambda patched: patched.memory(offload="model"), 8),
        (lambda patched: patched.memory("cuda:1"), 8),
    ],
)
def test_models_and_numerics_change_the_keys_from_the_first_stage_that_asks_them(
    change: Callable[[Patched], Models], first: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    patched = Patched(monkeypatch)
    before = world.keys(patched.memory())
    after = world.keys(change(patched))
    assert after[:first] == before[:first]
    assert not together(after[first:]) & together(before)


@pytest.mark.parametrize("place, first", [("photo", 0), ("mask", 1)])
def test_content_is_part_of_the_key(place: str, first: int, world: World) -> None:
    before = world.keys(models())
    path = world.folder / (world.photo if place == "photo" else "masks/car.png")
    with Image.open(path) as image:
        changed = image.copy()
    changed.putpixel((7, 7), (9, 9, 8) if place == "photo" else 78)
    changed.save(path)
    after = world.keys(models())
    assert after[:first] == before[:first] and not together(after[first:]) & together(before)


def test_keys_are_the_same_in_every_process(world: World) -> None:
    here = world.keys(models())
    program = (
        "import json, sys; from pathlib import Path; from test_cache_keys import World, models;"
        "print(json.dumps(World(Path(sys.argv[1])).keys(models())))"
    )
    for seed in ("0", "1"):
        env = environment(Path(__file__).parent, PYTHONHASHSEED=seed)
        done = subprocess.run(
            [sys.executable, "-c", program, str(world.folder)], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == here
