"""The run folder: artifacts, journal, snapshot, environment, log."""

from pipeline.record.record import Record, environment, read_facts, settled_config

__all__ = ["Record", "environment", "read_facts", "settled_config"]
