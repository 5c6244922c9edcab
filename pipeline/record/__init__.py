"""The run folder: artifacts, journal, snapshot, environment, log."""

from pipeline.record.record import Record

__all__ = ["Record"]
