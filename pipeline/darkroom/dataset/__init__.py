"""Which photos a recipe works on, and how files become pixels and back. Knows nothing of stages or models."""

from darkroom.dataset.dataset import Dataset, Photo

__all__ = ["Dataset", "Photo"]
