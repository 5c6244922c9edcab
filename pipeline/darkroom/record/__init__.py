"""The run folder: what a run writes, and what is read back of it."""

from darkroom.record.machine import environment
from darkroom.record.record import Record, resolved_config
from darkroom.record.schema import JOURNAL, RUN, SWEEP, read_facts, read_journal, read_sweep

__all__ = [
    "JOURNAL",
    "RUN",
    "SWEEP",
    "Record",
    "environment",
    "read_facts",
    "read_journal",
    "read_sweep",
    "resolved_config",
]
