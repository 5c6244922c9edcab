"""The miniature networks: the classes of the real models, at sizes that two processor cores can train.

Every builder returns an untrained network; `python -m miniature.train` makes the weights. The builder of the SAM is
`darkroom.models.miniature.networks.build_sam`, because Darkroom loads its weights itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPSegForImageSegmentation, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

TOKENS = 32  # longest prompt, in tokens

SAM_CONFIG = {
    "image_size": 256,
    "patch_size": 16,
    "embed_dim": 160,
    "depth": 4,
    "heads": 4,
    "mlp_ratio": 3,
    "prompt_dim": 128,
    "mask_prompt_channels": 16,
    "decoder_depth": 2,
    "decoder_heads": 4,
    "decoder_mlp_dim": 256,
    "pixel_mean": [123.675, 116.28, 103.53],
    "pixel_std": [58.395, 57.12, 57.375],
}


def _text_sizes(tokenizer: CLIPTokenizer) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def build_clipseg(tokenizer: CLIPTokenizer) -> CLIPSegForImageSegmentation:
    """A `CLIPSegForImageSegmentation` for pictures of 256 x 256 px.

    Patches are 16 pixels because the complex upsampling of transformers is (patch / 4)^2 and fits no other
    size.
    """
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation

    text = {"hidden_size": 96, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = {
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 6,
        "num_attention_heads": 4,
        "image_size": 256,
        "patch_size": 16,
    }
    model = CLIPSegForImageSegmentation(
        CLIPSegConfig(
            text_config=text | _text_sizes(tokenizer),
            vision_config=vision,
            projection_dim=96,
            extract_layers=[1, 3, 5],
            reduce_dim=64,
            use_complex_transposed_convolution=True,
            decoder_num_attention_heads=4,
            decoder_intermediate_size=256,
        )
    )
    _initialise_decoder(model)
    return model


def _initialise_decoder(model: CLIPSegForImageSegmentation) -> None:
    """Give the decoder sane initial weights.

    transformers leaves its linear and transposed convolution layers at N(0, 1): logits start with a deviation
    of several hundred and training collapses to empty masks.
    """
    decoder = model.decoder
    for layer in [*decoder.reduces, decoder.film_mul, decoder.film_add, *decoder.transposed_convolution]:
        if isinstance(layer, nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=layer.weight.shape[0] ** -0.5)
        elif hasattr(layer, "weight"):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
        if getattr(layer, "bias", None) is not None:
            nn.init.zeros_(layer.bias)
    nn.init.ones_(decoder.film_mul.bias)
    nn.init.constant_(decoder.transposed_convolution[-1].bias, -2.0)  # most of a picture is not the thing asked for
    nn.init.normal_(model.clip.text_model.embeddings.token_embedding.weight, std=0.2)


def build_vae() -> AutoencoderKL:
    """An `AutoencoderKL` from RGB in -1 to 1, (B, 3, H, W), to (B, 4, H / 4, W / 4); H and W are multiples of 4."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
    )


def build_text_encoders(tokenizer: CLIPTokenizer) -> list[CLIPTextModel | CLIPTextModelWithProjection]:
    """The two text encoders of SDXL: `CLIPTextModel` and `CLIPTextModelWithProjection`, 64 wide each."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    sizes = {
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "projection_dim": 64,
    }
    encoders = [
        kind(CLIPTextConfig(**sizes, **_text_sizes(tokenizer))) for kind in (CLIPTextModel, CLIPTextModelWithProjection)
    ]
    for encoder in encoders:
        for name, weight in encoder.named_parameters():
            if name.endswith("embedding.weight"):
                nn.init.normal_(weight, std=0.1)
    return encoders


def build_unet() -> UNet2DConditionModel:
    """The 9-channel SDXL inpainting UNet: 4 noisy latents, 1 mask, 4 latents of the masked picture.

    Text is (B, 32, 128), both encoders side by side; the added conditions are the pooled 64 and six size numbers
    of 32 sines each (Podell et al. 2023, SDXL, section 2.2).
    """
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=32,
        in_channels=9,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(48, 96, 192),
        layers_per_block=1,
        transformer_layers_per_block=1,
        attention_head_dim=(1, 3, 6),
        cross_attention_dim=128,
        addition_embed_type="text_time",
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=64 + 6 * 32,
        use_linear_projection=True,
        norm_num_groups=16,
    )


def build_scheduler() -> DDIMScheduler:
    """DDIM with v-prediction, zero terminal SNR and trailing steps (Lin et al. 2023, arXiv:2305.08891).

    Without them the first step of a few-step sampler starts from a brightness the network has never seen.
    """
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


def build_classifier(classes: int) -> nn.Sequential:
    """A small independent judge: RGB in -1 to 1, (B, 3, 64, 64), to `classes` logits."""

    def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())

    widths, strides = (3, 24, 32, 48, 48, 72, 72, 96), (2, 1, 2, 1, 2, 1, 2)
    blocks = [block(a, b, s) for a, b, s in zip(widths, widths[1:], strides, strict=False)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(96, classes))
