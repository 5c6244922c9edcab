"""The families of painters: which checkpoints are theirs, and what recipes can ask of them. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_XL, _SD = "StableDiffusionXLInpaintPipeline", "StableDiffusionInpaintPipeline"

_ONLY_STABLE_DIFFUSION = {
    "lora": "takes no LoRA in Darkroom; Stable Diffusion does",
    "control": "takes no control models in Darkroom; Stable Diffusion does",
    "reference": "takes no reference pictures in Darkroom; Stable Diffusion does",
    "prompt_syntax": "reads `plain` prompts only",
    "scheduler": "has one sampler, `default`",
    "soft_mask": "repaints every pixel that is not black; leave it out",
    "prompt_2": "reads one prompt; leave it out",
    "negative_prompt_2": "reads one negative prompt; leave it out",
}
_UNUSED = (None, False, "plain", "default")  # values that ask for nothing


@dataclass(frozen=True)
class PainterFamily:
    """Checkpoints that one adapter loads.

    Attributes:
        title: as messages call it.
        pipelines: the inpainting pipeline of diffusers, by the class that `model_index.json` names.
        components: the classes that parts of a checkpoint may have, `library.Class`; parts that are not listed may have
            any class of diffusers and transformers.
        settings: the arguments of each pipeline class.
        limits: what each parameter of `inpaint` that the family lacks is refused with.
        resolution: the least and the greatest working size in px.
        tokenizer: the folder of the tokenizer that splits what is read of a prompt; empty if every text encoder has its
            own.
        max_tokens: the tokens of a prompt that are read with `tokenizer`, None for all. Where a checkpoint lacks this
            tokenizer, its others say it.
        guidance_is_input: whether guidance is an input of the transformer, which only some checkpoints have.
        is_flow: whether it is a flow transformer, which `flow_painters.FlowPainter` runs, or Stable Diffusion.
    """

    title: str
    pipelines: Mapping[str, str]
    components: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    limits: Mapping[str, str] = field(default_factory=lambda: MappingProxyType(_ONLY_STABLE_DIFFUSION))
    resolution: tuple[int, int] = (64, 4096)
    tokenizer: str = "tokenizer"
    max_tokens: int | None = None
    guidance_is_input: bool = False
    is_flow: bool = True

    @property
    def required(self) -> Sequence[str]:
        """The components that every checkpoint names."""
        return list(self.components) if self.is_flow else ("unet", "vae", "text_encoder", "tokenizer", "scheduler")

    def unsupported(self, parameters: Mapping[str, Any], is_distilled: bool) -> Iterator[tuple[str, str]]:
        """The parameters of a stage that this family lacks, each with the reason in one line.

        Args:
            parameters: of a stage that repaints, scalar.
            is_distilled: whether the checkpoint ignores guidance.
        """
        for key, reason in self.limits.items():
            if (value := parameters.get(key)) and value not in _UNUSED:
                yield key, f"{self.title} {reason}"
        least, most = self.resolution
        if (size := parameters.get("resolution")) and not least <= size <= most:
            sizes = f"at {least} px only" if least == most else f"at {least} to {most} px"
            yield "resolution", f"{self.title} works {sizes}; leave it out"
        if is_distilled and (guidance := parameters.get("guidance_scale", 1)) > 1:
            ignored = f"this {self.title} is distilled and would ignore {guidance:g}"
            yield "guidance_scale", f"{ignored}; set 1 and few steps, or let speed=klein4 set them"


STABLE_DIFFUSION = PainterFamily(
    title="Stable Diffusion",
    pipelines={"StableDiffusionXLPipeline": _XL, _XL: _XL, "StableDiffusionPipeline": _SD, _SD: _SD},
    components={
        "unet": ("diffusers.UNet2DConditionModel",),
        "vae": ("diffusers.AutoencoderKL",),
        "text_encoder": ("transformers.CLIPTextModel",),
        "text_encoder_2": ("transformers.CLIPTextModelWithProjection",),
    },
    settings={
        # The invisible watermark turns itself on where its package is installed, and changes pixels.
        _XL: {"add_watermarker": False},
        # The safety checker of SD 1.5 replaces pictures by black ones.
        _SD: {"safety_checker": None, "requires_safety_checker": False},
    },
    limits={},
    tokenizer="",
    is_flow=False,
)

_QWEN_TOKENIZER = ("transformers.Qwen2TokenizerFast", "transformers.Qwen2Tokenizer")
_T5, _T5_TOKENIZER = ("transformers.T5EncoderModel",), ("transformers.T5TokenizerFast", "transformers.T5Tokenizer")
_CLIP_TOKENIZER = ("transformers.CLIPTokenizer", "transformers.CLIPTokenizerFast")
_NOTHING = ("None.None",)  # a part that a checkpoint may lack
_FLOW_SCHEDULER = ("diffusers.FlowMatchEulerDiscreteScheduler",)

FLUX2_KLEIN = PainterFamily(
    title="FLUX.2 Klein",
    pipelines=dict.fromkeys(("Flux2KleinPipeline", "Flux2KleinInpaintPipeline"), "Flux2KleinInpaintPipeline"),
    components={
        "transformer": ("diffusers.Flux2Transformer2DModel",),
        "vae": ("diffusers.AutoencoderKLFlux2",),
        "text_encoder": ("transformers.Qwen3ForCausalLM",),
        "tokenizer": _QWEN_TOKENIZER,
        "scheduler": _FLOW_SCHEDULER,
    },
    resolution=(64, 1024),  # its pipeline scales larger pictures down
    max_tokens=512 - 12,  # without those of the chat around the prompt
)

Z_IMAGE = PainterFamily(
    title="Z-Image",
    pipelines=dict.fromkeys(("ZImagePipeline", "ZImageInpaintPipeline"), "ZImageInpaintPipeline"),
    components={
        "transformer": ("diffusers.ZImageTransformer2DModel",),
        "vae": ("diffusers.AutoencoderKL",),
        "text_encoder": ("transformers.Qwen3Model", "transformers.Qwen3ForCausalLM"),
        "tokenizer": _QWEN_TOKENIZER,
        "scheduler": _FLOW_SCHEDULER,
    },
    resolution=(64, 2048),
    max_tokens=512 - 8,
)

QWEN_IMAGE_EDIT = PainterFamily(
    title="Qwen-Image-Edit",
    pipelines=dict.fromkeys(("QwenImageEditPipeline", "QwenImageEditInpaintPipeline"), "QwenImageEditInpaintPipeline"),
    components={
        "transformer": ("diffusers.QwenImageTransformer2DModel",),
        "vae": ("diffusers.AutoencoderKLQwenImage",),
        "text_encoder": ("transformers.Qwen2_5_VLForConditionalGeneration",),
        "tokenizer": _QWEN_TOKENIZER,
        "processor": ("transformers.Qwen2VLProcessor", "transformers.Qwen2_5_VLProcessor"),
        "scheduler": _FLOW_SCHEDULER,
    },
    resolution=(1024, 1024),  # its pipeline scales every picture to this area
    max_tokens=None,
)

_FLUX, _FILL = "FluxInpaintPipeline", "FluxFillPipeline"

FLUX1 = PainterFamily(
    title="Flux.1",
    pipelines={"FluxPipeline": _FLUX, _FLUX: _FLUX, _FILL: _FILL},
    components={
        "transformer": ("diffusers.FluxTransformer2DModel",),
        "vae": ("diffusers.AutoencoderKL",),
        "text_encoder": ("transformers.CLIPTextModel",),
        "text_encoder_2": _T5,
        "tokenizer": _CLIP_TOKENIZER,
        "tokenizer_2": _T5_TOKENIZER,
        "scheduler": _FLOW_SCHEDULER,
    },
    limits=MappingProxyType(
        {**_ONLY_STABLE_DIFFUSION, "negative_prompt": "has no negative prompts; leave it out, or set it to null"}
    ),
    resolution=(64, 2048),
    tokenizer="tokenizer_2",
    max_tokens=512 - 1,  # T5's, without the end of the text; CLIP gives one vector for the whole text
    guidance_is_input=True,
)

_SD3 = "StableDiffusion3InpaintPipeline"

STABLE_DIFFUSION_3 = PainterFamily(
    title="Stable Diffusion 3",
    pipelines={"StableDiffusion3Pipeline": _SD3, _SD3: _SD3},
    components={
        "transformer": ("diffusers.SD3Transformer2DModel",),
        "vae": ("diffusers.AutoencoderKL",),
        "text_encoder": ("transformers.CLIPTextModelWithProjection",),
        "text_encoder_2": ("transformers.CLIPTextModelWithProjection",),
        "text_encoder_3": (*_T5, *_NOTHING),
        "tokenizer": _CLIP_TOKENIZER,
        "tokenizer_2": _CLIP_TOKENIZER,
        "tokenizer_3": (*_T5_TOKENIZER, *_NOTHING),
        "scheduler": _FLOW_SCHEDULER,
    },
    resolution=(64, 2048),
    tokenizer="tokenizer_3",
    max_tokens=256 - 1,
)

FAMILIES = (STABLE_DIFFUSION, FLUX2_KLEIN, Z_IMAGE, QWEN_IMAGE_EDIT, FLUX1, STABLE_DIFFUSION_3)


def family_of(index: Mapping[str, Any]) -> PainterFamily | None:
    """The family of a checkpoint's `model_index.json`; None if no adapter knows it."""
    name = str(index.get("_class_name"))
    return next((family for family in FAMILIES if name in family.pipelines), None)
