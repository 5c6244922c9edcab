"""What shows a run to people. Reads the run folder and nothing else."""

from pipeline.report.page import run_page, sweep_page
from pipeline.report.sheet import contact_sheet
from pipeline.report.sweep import sweep_sheet

__all__ = ["contact_sheet", "run_page", "sweep_page", "sweep_sheet"]
