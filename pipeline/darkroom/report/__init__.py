"""Contact sheets and HTML pages of runs and sweeps. Reads run folders only."""

from darkroom.report.page import PAGE, run_page, sweep_page
from darkroom.report.sheet import contact_sheet
from darkroom.report.sweep import sweep_sheet

__all__ = ["PAGE", "contact_sheet", "run_page", "sweep_page", "sweep_sheet"]
