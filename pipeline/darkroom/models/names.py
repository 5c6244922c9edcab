"""The names that recipes and settings may use. Imports nothing, so that checking a recipe is fast."""

from __future__ import annotations

ModelKind = str
"""A kind of model, such as `sam`; or one of several of a group, such as `controls.canny`."""

SCHEDULERS = (
    "default",
    "ddim",
    "euler",
    "euler_a",
    "dpm++_2m",
    "dpm++_2m_karras",
    "unipc",
    "lcm",
    "tcd",
    "euler_trailing",
    "ddim_trailing",
)
"""Samplers by the names that users know them by; `default` is the one that the checkpoint was published with."""

MOST_STEPS = {"lcm": 50, "tcd": 50}
"""The steps that consistency distillation divides the noise schedule into (`original_inference_steps` in diffusers)."""

SAM_CHECKPOINTS = {
    "vit_b": "sam_vit_b_01ec64.pth",
    "vit_l": "sam_vit_l_0b3195.pth",
    "vit_h": "sam_vit_h_4b8939.pth",
}
"""The official SAM checkpoints by size (github.com/facebookresearch/segment-anything, Model Checkpoints)."""

GUIDED, CLOSED_FORM = "guided", "closed_form"
"""The matting methods without weights; other names are checkpoints of ViTMatte."""

BY_CLIPSEG = "clipseg"
"""What finds phrases without a model of its own: CLIPSeg and SAM; other names are checkpoints."""

LANCZOS = "lanczos"
"""Upscaling without weights; other names are files of networks."""

LAMA = "big-lama"
"""LaMa as it is published; other names are files."""

VITMATTE = "hustvl/vitmatte-small-composition-1k"
DEPTH = "depth-anything/Depth-Anything-V2-Small-hf"
CLIPSEG = "CIDAS/clipseg-rd64-refined"
SDXL = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
SD15 = "stable-diffusion-v1-5/stable-diffusion-inpainting"
KLEIN = "black-forest-labs/FLUX.2-klein-4B"
Z_IMAGE = "Tongyi-MAI/Z-Image-Turbo"
QWEN_IMAGE_EDIT = "Qwen/Qwen-Image-Edit"
FLUX1_FILL = "black-forest-labs/FLUX.1-Fill-dev"
SD3 = "stabilityai/stable-diffusion-3.5-medium"

CONTROLS = "controls"
"""The group of settings that names control models; `controls.canny` is the kind of model of one of them."""

REFERENCE = "reference"
"""The kind of model that IP-Adapters are."""

IP_ADAPTERS = {
    1: "h94/IP-Adapter/models/ip-adapter_sd15.safetensors",
    2: "h94/IP-Adapter/sdxl_models/ip-adapter_sdxl.safetensors",
}
"""The IP-Adapter of `auto`, by the number of the painter's text encoders."""

DRAWN = ("canny", "lineart", "depth")
"""The controls whose pictures are made of the photo."""

UNION_TYPES = {
    "openpose": 0,
    "depth": 1,
    "softedge": 2,
    "scribble": 2,
    "canny": 3,
    "lineart": 3,
    "normal": 4,
    "segment": 5,
    "tile": 6,
    "repaint": 7,
}
"""The kinds of control of a union model, in the order of its training (xinsir/controlnet-union-sdxl-1.0; the last two
in its promax variant only)."""
