"""The checks before a run: versions, storage, room for the trials, clocks."""

from tune_jobs.engine.cluster.doctor.check import Check, as_dict, refuse, tell
from tune_jobs.engine.cluster.doctor.examination import examine

__all__ = ["Check", "as_dict", "examine", "refuse", "tell"]
