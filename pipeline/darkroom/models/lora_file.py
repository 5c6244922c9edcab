"""Reads LoRA files (Hu et al., arXiv 2106.09685), and tells whether one fits a checkpoint, before anything runs.

The layouts are those that diffusers loads: kohya (`lora_unet_...`), diffusers and PEFT. Only safetensors are opened.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from darkroom.errors import SetupError
from darkroom.models.load_errors import as_setup_error

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

MAX_BYTES = 4 * 1024**3  # the largest published ones have less than 1 GB
_MAX_TENSORS = 20_000
_TEXT_ENCODERS = {"text_encoder": "CLIPTextModel", "text_encoder_2": "CLIPTextModelWithProjection"}
_FAMILIES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}
_PROMPT_LAYER = re.compile(r"attn2\.to_[kv]$")  # its inputs are the prompt's embeddings, whose width tells the family
_STRANGE = "is no tensor of a LoRA for a UNet or its text encoders"
_WEIGHT = re.compile(r"(.+)\.lora_([AB])\.weight")
_METADATA = "lora_adapter_metadata"  # diffusers writes PEFT's configuration there
# Parts of the names of tensors of other methods, and what people call these.
_OTHER_METHODS = {
    "dora_scale": "DoRA",
    "lora_magnitude": "DoRA",
    "lokr_": "LoKr",
    "hada_": "LoHa",
    "oft_": "OFT",
}


class Layer(NamedTuple):
    """One adapted layer: its output changes by `alpha / rank` times `up` of `down` of its input.

    Attributes:
        down: shape of the first matrix or kernel, (rank, inputs, ...).
        up: shape of the second, (outputs, rank, ...).
        alpha: see above; the rank if the file says nothing.
    """

    down: tuple[int, ...]
    up: tuple[int, ...]
    alpha: float


Layers = Mapping[tuple[str, str], Layer]
"""The adapted layers by component (`unet`, `text_encoder`, `text_encoder_2`) and by name within it."""


def read_tensors(file: Path) -> tuple[dict[str, torch.Tensor], Mapping[str, str]]:
    """The tensors of a LoRA file, on the CPU, and the texts in its header.

    Raises:
        SetupError: it is no safetensors file, too large, empty, or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if file.suffix != ".safetensors":
        raise SetupError(f"{file}: only .safetensors is loaded; a pickled LoRA can run code")
    with as_setup_error(file, "a LoRA"):
        if file.stat().st_size > MAX_BYTES:
            raise SetupError(f"{file}: {file.stat().st_size / 1e9:.0f} GB is no LoRA; the limit is 4 GB")
        try:
            with safe_open(file, "pt") as content:
                names = list(content.keys())
                if not 0 < len(names) <= _MAX_TENSORS:
                    raise SetupError(f"{file}: holds {len(names)} tensors; a LoRA has 2 to {_MAX_TENSORS}")
                return {name: content.get_tensor(name) for name in names}, content.metadata() or {}
        except SafetensorError as error:
            reason = str(error).removeprefix("Error while deserializing header: ").partition(", expected")[0]
            raise SetupError(f"{file}: is no whole safetensors file ({reason:.100}); get the LoRA again") from error


def layers_of(tensors: Tensors, texts: Mapping[str, str], unet_config: Any, has_two_encoders: bool) -> Layers:
    """The layers that a LoRA adapts, after diffusers has converted the names of its tensors.

    Args:
        tensors: of the file.
        texts: in its header.
        unet_config: of the checkpoint.
        has_two_encoders: the checkpoint is SDXL.

    Raises:
        ValueError: it holds something else than pairs of LoRA weights.
    """
    diffusers = _library("diffusers")
    _refuse_other_methods(tensors)
    loader, options = (
        (diffusers.StableDiffusionXLPipeline, {"unet_config": unet_config})
        if has_two_encoders
        else (diffusers.StableDiffusionPipeline, {})
    )
    try:
        converted, _ = loader.lora_state_dict(dict(tensors), **options)
    except KeyError as error:  # of a pair
        raise ValueError(f"{error.args[0]}: this tensor is missing") from None
    written = {id(tensor): name for name, tensor in tensors.items()}  # renaming keeps the tensors themselves
    pairs: dict[tuple[str, str], dict[str, torch.Tensor]] = {}
    for component, name, tensor in _by_peft_name(converted):
        match = _WEIGHT.fullmatch(name)
        if not match:
            raise ValueError(f"{written.get(id(tensor), name)}: {_STRANGE}")
        if tensor.dim() not in (2, 4) or not tensor.is_floating_point():
            kind = f"{str(tensor.dtype).removeprefix('torch.')} of shape {list(tensor.shape)}"
            raise ValueError(f"{written.get(id(tensor), name)}: is {kind}; a LoRA has matrices or kernels of floats")
        pairs.setdefault((component, match[1]), {})[match[2]] = tensor
    alphas = _alphas_in(texts)
    layers = {}
    for place, pair in pairs.items():
        if set(pair) != {"A", "B"}:
            raise ValueError(f"{'.'.join(place)}: one of the two weights is missing")
        down, up = pair["A"], pair["B"]
        rank = len(down)
        own = tensors.get(written.get(id(down), "").replace("lora_down.weight", "alpha"))
        alpha = float(own) if own is not None and own.numel() == 1 else alphas(*place, rank)
        layers[place] = Layer(tuple(down.shape), tuple(up.shape), alpha)
    return layers


def misfit(layers: Layers, shapes: Mapping[tuple[str, str], tuple[int, ...]]) -> str | None:
    """Why a LoRA does not fit a checkpoint, in one line; None if it does.

    Args:
        layers: of the LoRA.
        shapes: of the weights of all linear and convolutional layers of the checkpoint.
    """
    for (component, name), layer in layers.items():
        place = f"{component}.{name}"
        if not layer.down[0] or not math.isfinite(layer.alpha):
            return f"{place}: rank {layer.down[0]} with alpha {layer.alpha:g} is no LoRA"
        shape = next((shapes[component, each] for each in names_of(name) if (component, each) in shapes), None)
        if shape is None:
            return f"{_made_for(layers, shapes)}models.inpaint has no layer {place}"
        rank = layer.down[0]
        fitting = (rank, *shape[1:]), (shape[0], rank, *[1] * len(shape[2:]))
        if (layer.down, layer.up) != fitting:
            asked = " and ".join(str(list(size)) for size in (layer.down, layer.up))
            return f"{_made_for(layers, shapes)}{place} is {list(shape)} in models.inpaint; the LoRA has {asked}"
    return None


def names_of(layer: str) -> tuple[str, str]:
    """The names that a layer may have in the networks: transformers 5 has dropped a prefix from one text encoder."""
    return layer, layer.removeprefix("text_model.")


def check(file: Path, checkpoint: Path) -> str | None:
    """Why a LoRA cannot be used with a checkpoint, in one line; None if it can. Loads no model.

    Args:
        file: the LoRA.
        checkpoint: a folder with `model_index.json` and the configurations of its components.
    """
    import torch

    try:
        tensors, texts = read_tensors(file)
        with as_setup_error(file, "a LoRA"):
            shapes, config = shapes_of(checkpoint)
            problem = misfit(layers_of(tensors, texts, config, ("text_encoder_2", "") in shapes), shapes)
    except SetupError as error:
        return str(error)
    if not problem:
        broken = (name for name, tensor in tensors.items() if not torch.isfinite(tensor.float()).all())
        problem = next((f"{name} holds NaN or infinity" for name in broken), None)
    return f"{file}: {problem}" if problem else None


def _refuse_other_methods(tensors: Tensors) -> None:
    for name, tensor in tensors.items():
        if method := next((method for part, method in _OTHER_METHODS.items() if part in name), None):
            raise ValueError(f"{name}: {method} is not supported, only LoRA")
        if name.endswith(".alpha") and tensor.numel() != 1:
            raise ValueError(f"{name}: should be one number; its shape is {list(tensor.shape)}")


def _by_peft_name(converted: Tensors) -> Iterator[tuple[str, str, torch.Tensor]]:
    """(component, name in PEFT's layout, tensor), as diffusers makes these names while it loads."""
    from diffusers.utils import state_dict_utils

    names: Any = state_dict_utils  # its functions have no types

    parts: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in converted.items():
        component, _, rest = key.partition(".")
        if component != "unet" and component not in _TEXT_ENCODERS:
            raise ValueError(f"{key}: {_STRANGE}")
        parts.setdefault(component, {})[rest] = tensor
    for component, part in parts.items():
        if component == "unet":
            renamed = part if "lora_A" in next(iter(part)) else names.convert_unet_state_dict_to_peft(part)
        else:
            renamed = names.convert_state_dict_to_peft(names.convert_state_dict_to_diffusers(part))
        yield from ((component, key, tensor) for key, tensor in renamed.items())


def _library(name: str) -> Any:
    """A library that puts another module in its own place while it is imported.

    The studio checks recipes in several threads. An `import` statement that waits for that of another thread gets the
    first module, which has no attributes; this gets the second one.
    """
    return import_module(name)


def shapes_of(checkpoint: Path) -> tuple[dict[tuple[str, str], tuple[int, ...]], Any]:
    """The shapes of the weights of all layers by component and name, and the UNet's configuration.

    A component without a name, with an empty shape, says that it exists.
    """
    import torch

    diffusers, transformers = _library("diffusers"), _library("transformers")
    shapes: dict[tuple[str, str], tuple[int, ...]] = {}
    with torch.device("meta"):
        networks = {"unet": diffusers.UNet2DConditionModel.from_config(_config(checkpoint / "unet"))}
        for component, kind in _TEXT_ENCODERS.items():
            if (checkpoint / component).is_dir():
                config = transformers.CLIPTextConfig(**_config(checkpoint / component))
                networks[component] = getattr(transformers, kind)(config)
    for component, network in networks.items():
        shapes[component, ""] = ()
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                shapes[component, name] = tuple(module.weight.shape)
    return shapes, networks["unet"].config


def _config(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def _alphas_in(texts: Mapping[str, str]) -> Any:
    """A function (component, layer, rank) to alpha, from the PEFT configuration in a header, if there is one."""
    try:
        given = dict(json.loads(texts.get(_METADATA, "{}")))
    except (ValueError, TypeError, RecursionError):
        raise ValueError(f"{_METADATA} in its header is no JSON mapping") from None

    def alpha(component: str, name: str, rank: int) -> float:
        if given.get(f"{component}.use_dora"):
            raise ValueError(f"{component}: DoRA is not supported, only LoRA")
        found: Any = given.get(f"{component}.lora_alpha", rank)
        for pattern, value in dict(given.get(f"{component}.alpha_pattern") or {}).items():
            if f".{name}".endswith(f".{pattern.removeprefix('^')}"):
                found = value
        if not isinstance(found, int | float):
            raise ValueError(f"{component}.lora_alpha in its header should be a number; it is {found!r:.40}")
        # PEFT's `use_rslora` divides by the square root of the rank instead (arXiv 2312.03732).
        return float(found) * (math.sqrt(rank) if given.get(f"{component}.use_rslora") else 1.0)

    return alpha


def _made_for(layers: Layers, shapes: Mapping[tuple[str, str], tuple[int, ...]]) -> str:
    """`made for Stable Diffusion 1, and not for ...: `, if the widths of the prompts' embeddings tell."""
    widths = Counter(layer.down[1] for (_, name), layer in layers.items() if _PROMPT_LAYER.search(name))
    own = {shape[1] for (_, name), shape in shapes.items() if _PROMPT_LAYER.search(name)}
    for width, _ in widths.most_common(1):
        if width not in own:
            return f"is made for {_FAMILIES.get(width, 'another model')}: "
    return ""
