"""The one loop: photos through the merged trees of all jobs that want them."""

from pipeline.runner.runner import Job, Runner, Tray

__all__ = ["Job", "Runner", "Tray"]
