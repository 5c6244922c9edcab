"""The run folder: everything that a run writes, and everything that is read back."""

from darkroom.record.machine import environment
from darkroom.record.reading import read_facts, read_journal, read_sweep
from darkroom.record.record import Record, keeps_results_only, resolved_config
from darkroom.record.schema import JOURNAL, RUN, SWEEP

__all__ = [
    "JOURNAL",
    "RUN",
    "SWEEP",
    "Record",
    "environment",
    "keeps_results_only",
    "read_facts",
    "read_journal",
    "read_sweep",
    "resolved_config",
]
