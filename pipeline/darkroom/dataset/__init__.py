"""Which photos a recipe works on: files, folders, globs and manifests. No stages, no models."""

from darkroom.dataset.dataset import Dataset, Photo

__all__ = ["Dataset", "Photo"]
