"""The networks that find the subject of a photo: their names, as `rembg` publishes them, files and expectations."""

from __future__ import annotations

from pathlib import PurePath
from typing import NamedTuple

GRABCUT = "grabcut"
"""The name of the method that needs no network: OpenCV's GrabCut."""

SMALLEST = "u2netp"
"""The network that `models.subject=auto` uses if its file is there."""

RELEASES = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"
"""Where `rembg` publishes the files."""

Colour = tuple[float, float, float]
_IMAGENET_MEAN, _IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Family(NamedTuple):
    """What the networks of a family expect and return, as their authors published it.

    Attributes:
        side: width and height in px of the input, where the graph leaves them open.
        mean: subtracted from the colours, which go from 0 to 1.
        deviation: divides them afterwards.
        by_maximum: colours are divided by the photo's largest value instead of 255.
        logits: the output needs a sigmoid. Otherwise it is stretched until it goes from 0 to 1.
    """

    side: int
    mean: Colour
    deviation: Colour
    by_maximum: bool = False
    logits: bool = False


U2NET = Family(320, _IMAGENET_MEAN, _IMAGENET_DEVIATION, by_maximum=True)
"""U-2-Net (Qin et al., Pattern Recognition 2020, arXiv 2005.09007); also used for files of an unknown family."""

ISNET = Family(1024, (0.5, 0.5, 0.5), (1.0, 1.0, 1.0))
"""IS-Net (Qin et al., Highly Accurate Dichotomous Image Segmentation, ECCV 2022, arXiv 2203.03041)."""

ANIME = ISNET._replace(mean=_IMAGENET_MEAN)
"""IS-Net, trained on drawings; `rembg` 2.0.86 subtracts this mean."""

BIREFNET = Family(1024, _IMAGENET_MEAN, _IMAGENET_DEVIATION, logits=True)
"""BiRefNet (Zheng et al., CAAI AIR 2024, arXiv 2401.03407)."""

BRIA = BIREFNET._replace(logits=False)
"""BRIA RMBG 2.0: a BiRefNet, exported with its sigmoid."""


class Published(NamedTuple):
    """A network by its name.

    Attributes:
        file: its name in the release. On this machine it is called NAME.onnx.
        size: of the file, for people.
        family: what it expects.
    """

    file: str
    size: str
    family: Family


NETWORKS = {
    SMALLEST: Published("u2netp.onnx", "4.6 MB", U2NET),
    "u2net": Published("u2net.onnx", "176 MB", U2NET),
    "u2net_human_seg": Published("u2net_human_seg.onnx", "176 MB", U2NET),
    "silueta": Published("silueta.onnx", "44 MB", U2NET),
    "isnet-general-use": Published("isnet-general-use.onnx", "179 MB", ISNET),
    "isnet-anime": Published("isnet-anime.onnx", "176 MB", ANIME),
    "birefnet-general": Published("BiRefNet-general-epoch_244.onnx", "973 MB", BIREFNET),
    "birefnet-general-lite": Published("BiRefNet-general-bb_swin_v1_tiny-epoch_232.onnx", "224 MB", BIREFNET),
    "birefnet-portrait": Published("BiRefNet-portrait-epoch_150.onnx", "973 MB", BIREFNET),
    "birefnet-dis": Published("BiRefNet-DIS-epoch_590.onnx", "973 MB", BIREFNET),
    "birefnet-hrsod": Published("BiRefNet-HRSOD_DHU-epoch_115.onnx", "973 MB", BIREFNET),
    "birefnet-cod": Published("BiRefNet-COD-epoch_125.onnx", "973 MB", BIREFNET),
    "birefnet-massive": Published("BiRefNet-massive-TR_DIS5K_TR_TEs-epoch_420.onnx", "973 MB", BIREFNET),
    "bria-rmbg": Published("bria-rmbg-2.0.onnx", "1.0 GB", BRIA),
}
"""`rembg` 2.0.86, without the networks that return something else than one mask. The sizes are rounded."""

_FAMILIES = {
    **{name: network.family for name, network in NETWORKS.items()},
    **{PurePath(network.file).stem: network.family for network in NETWORKS.values()},
}


def family_of(file: PurePath) -> Family:
    """The family of an ONNX file, by its name without the suffix; U-2-Net's if the name is unknown."""
    return _FAMILIES.get(file.stem, U2NET)
