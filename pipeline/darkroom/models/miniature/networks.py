"""The miniature networks: the classes of the real models, at sizes two processor cores can train.

Every builder returns an untrained network. Weights are made by ``python -m miniature.train``.
"""

from functools import partial

from torch import nn

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


def build_sam(config: dict):
    """A ``segment_anything.modeling.Sam`` with the sizes in ``config`` (keys as in ``SAM_CONFIG``).

    Attention is global in every layer: at 16x16 tokens the windows of the original would save nothing.
    """
    from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

    size, dim = config["image_size"], config["prompt_dim"]
    grid = size // config["patch_size"]
    encoder = ImageEncoderViT(
        img_size=size,
        patch_size=config["patch_size"],
        embed_dim=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["heads"],
        mlp_ratio=config["mlp_ratio"],
        out_chans=dim,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        qkv_bias=True,
        use_rel_pos=True,
        window_size=0,
        global_attn_indexes=tuple(range(config["depth"])),
    )
    prompts = PromptEncoder(
        embed_dim=dim,
        image_embedding_size=(grid, grid),
        input_image_size=(size, size),
        mask_in_chans=config["mask_prompt_channels"],
    )
    transformer = TwoWayTransformer(
        depth=config["decoder_depth"],
        embedding_dim=dim,
        mlp_dim=config["decoder_mlp_dim"],
        num_heads=config["decoder_heads"],
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=transformer,
        transformer_dim=dim,
        iou_head_depth=3,
        iou_head_hidden_dim=dim,
    )
    return Sam(encoder, prompts, decoder, config["pixel_mean"], config["pixel_std"])


def _text_sizes(tokenizer) -> dict:
    return {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def build_clipseg(tokenizer):
    """A ``CLIPSegForImageSegmentation`` for 256x256 pictures.

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
    _settle_clipseg(model)
    return model


def _settle_clipseg(model) -> None:
    """Gives the decoder sane initial weights.

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


def build_vae():
    """An ``AutoencoderKL`` from RGB in -1..1, Bx3xHxW, to Bx4xH/4xW/4; H and W are multiples of 4."""
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


def build_text_encoders(tokenizer):
    """The two text encoders of SDXL: ``CLIPTextModel`` and ``CLIPTextModelWithProjection``, 64 wide each."""
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


def build_unet():
    """The 9-channel SDXL inpainting UNet: 4 noisy latents, 1 mask, 4 latents of the masked picture.

    Text is Bx32x128 (both encoders side by side); the added conditions are the pooled 64 and six size numbers
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


def build_scheduler():
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
    """A small independent judge: RGB in -1..1, Bx3x64x64, to ``classes`` logits."""

    def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())

    widths, strides = (3, 24, 32, 48, 48, 72, 72, 96), (2, 1, 2, 1, 2, 1, 2)
    blocks = [block(a, b, s) for a, b, s in zip(widths, widths[1:], strides, strict=False)]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(96, classes))
