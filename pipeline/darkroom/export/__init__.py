"""Data sets for training, made of the pictures of a run folder: COCO, imagefolder and WebDataset."""

from darkroom.export.export import FORMATS, Exported, export
from darkroom.export.pictures import ExportSettings

__all__ = ["FORMATS", "ExportSettings", "Exported", "export"]
