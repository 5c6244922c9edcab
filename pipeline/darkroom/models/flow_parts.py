"""Checks that the parts of a flow transformer's checkpoint are complete and of one model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from darkroom.errors import SetupError

_FEWEST_TOKENS = 256  # a byte-level tokenizer has one for each byte; published ones of T5 have 32,100
_SHORTEST = 3  # tokens of a text: its beginning, one word, its end
_TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")


def check_parts(pipe: Any, folder: Path) -> None:
    """Look for what the libraries would accept: an empty tokenizer, or parts of several models.

    Args:
        pipe: a loaded pipeline of one of `darkroom.models.painter_families`.
        folder: of the checkpoint.

    Raises:
        SetupError: there is such a thing.
    """
    has_processor = hasattr(pipe, "processor")
    encoders = [name for name in _TEXT_ENCODERS if getattr(pipe, name, None) is not None]
    for encoder in encoders:
        name = encoder.replace("text_encoder", "tokenizer")
        tokenizer = pipe.processor.tokenizer if has_processor else getattr(pipe, name)
        if tokenizer is None or len(tokenizer) < _FEWEST_TOKENS:
            raise SetupError(f"{folder}: lacks the vocabulary of its {name}")
        _check_tokens(folder, name, tokenizer, getattr(pipe, encoder).config.get_text_config())
    if type(pipe).__name__ in _WIDTHS and not has_processor and not pipe.tokenizer.chat_template:
        raise SetupError(f"{folder}: lacks the chat template of its tokenizer, such as tokenizer/chat_template.jinja")
    if not _FITS.get(type(pipe).__name__, _language_model_fits)(pipe):
        raise SetupError(f"{folder}: text encoder, transformer and VAE are not of one model")


def _check_tokens(folder: Path, name: str, tokenizer: Any, encoder: Any) -> None:
    """A tokenizer must not give more different tokens, or with CLIP longer texts, than its encoder takes."""
    if len(tokenizer) > encoder.vocab_size:
        raise SetupError(
            f"{folder}/{name}: has {len(tokenizer)} tokens, and its text encoder takes {encoder.vocab_size}"
        )
    most = getattr(encoder, "max_position_embeddings", None)
    if encoder.model_type == "clip_text_model" and not _SHORTEST <= tokenizer.model_max_length <= most:
        file = f"{folder}/{name}/tokenizer_config.json"
        raise SetupError(f"{file}: model_max_length should be a number from {_SHORTEST} to {most}")


class _Widths(NamedTuple):
    """How the parts of a checkpoint with a language model fit together.

    Attributes:
        text: the transformer's setting for the width of a prompt's embeddings.
        layers: the text encoder's layers that are joined for them.
        latents: the VAE's setting for the channels of its latents.
        patch: latents in a token.
        deepest: the last layer of the text encoder that is read.
    """

    text: str
    layers: int
    latents: str
    patch: int
    deepest: int


_WIDTHS: Mapping[str, _Widths] = {
    "Flux2KleinInpaintPipeline": _Widths("joint_attention_dim", 3, "latent_channels", 4, 27),
    "ZImageInpaintPipeline": _Widths("cap_feat_dim", 1, "latent_channels", 1, 1),
    "QwenImageEditInpaintPipeline": _Widths("joint_attention_dim", 1, "z_dim", 4, 1),
}


def _language_model_fits(pipe: Any) -> bool:
    text, network, vae = pipe.text_encoder.config.get_text_config(), pipe.transformer.config, pipe.vae.config
    widths = _WIDTHS[type(pipe).__name__]
    return bool(
        network[widths.text] == widths.layers * text.hidden_size
        and network.in_channels == widths.patch * vae[widths.latents]
        and text.num_hidden_layers >= widths.deepest
    )


def _flux_fits(pipe: Any) -> bool:
    network, latents = pipe.transformer.config, pipe.vae.config.latent_channels
    # Besides its own latents, Fill sees those of the photo without the masked part, and each pixel of the mask.
    beside = latents + pipe.vae_scale_factor**2 if type(pipe).__name__ == "FluxFillPipeline" else 0
    return bool(
        network.joint_attention_dim == pipe.text_encoder_2.config.d_model
        and network.pooled_projection_dim == pipe.text_encoder.config.hidden_size
        and network.in_channels == 4 * (latents + beside)
    )


def _sd3_fits(pipe: Any) -> bool:
    network, t5 = pipe.transformer.config, pipe.text_encoder_3
    encoders = [pipe.text_encoder.config, pipe.text_encoder_2.config]
    width = t5.config.d_model if t5 else network.joint_attention_dim
    return bool(
        network.pooled_projection_dim == sum(encoder.projection_dim for encoder in encoders)
        and network.joint_attention_dim == width >= sum(encoder.hidden_size for encoder in encoders)
        and network.in_channels == pipe.vae.config.latent_channels == _SD3_LATENTS
    )


_SD3_LATENTS = 16  # channels; diffusers takes no others
_FITS = {
    "FluxInpaintPipeline": _flux_fits,
    "FluxFillPipeline": _flux_fits,
    "StableDiffusion3InpaintPipeline": _sd3_fits,
}
