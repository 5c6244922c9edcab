"""What any script pays before it loads a model: the imports of torch, diffusers and Segment Anything."""

import torch  # noqa: F401
from diffusers import StableDiffusionXLInpaintPipeline  # noqa: F401
from segment_anything import SamPredictor  # noqa: F401
