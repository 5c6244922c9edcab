"""What shows a run to people. Reads the run folder and nothing else."""

from pipeline.report.sheet import contact_sheet

__all__ = ["contact_sheet"]
