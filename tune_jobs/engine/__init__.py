"""What job modules are written with, and what runs them.

Names are imported when first used, so that reading an error class or a profile costs no Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tune_jobs.engine.errors import JobError
    from tune_jobs.engine.evaluation import Evaluation
    from tune_jobs.engine.experiment import Experiment, open_experiment
    from tune_jobs.engine.finalists import Finalists
    from tune_jobs.engine.grid import as_grid
    from tune_jobs.engine.image_arrays import images
    from tune_jobs.engine.job import Job
    from tune_jobs.engine.profile import Profile, load_profile
    from tune_jobs.engine.running import run
    from tune_jobs.engine.schedulers import ASHA, Hyperband, MedianStopping
    from tune_jobs.engine.searchers import TPE, RandomSearch
    from tune_jobs.engine.space import compose, near_one
    from tune_jobs.engine.stages import Stage
    from tune_jobs.engine.tables import table

_HOMES = {
    "errors": ("JobError",),
    "evaluation": ("Evaluation",),
    "experiment": ("Experiment", "open_experiment"),
    "finalists": ("Finalists",),
    "grid": ("as_grid",),
    "image_arrays": ("images",),
    "job": ("Job",),
    "profile": ("Profile", "load_profile"),
    "running": ("run",),
    "schedulers": ("ASHA", "Hyperband", "MedianStopping"),
    "searchers": ("TPE", "RandomSearch"),
    "space": ("compose", "near_one"),
    "stages": ("Stage",),
    "tables": ("table",),
}

__all__ = [
    "ASHA",
    "TPE",
    "Evaluation",
    "Experiment",
    "Finalists",
    "Hyperband",
    "Job",
    "JobError",
    "MedianStopping",
    "Profile",
    "RandomSearch",
    "Stage",
    "as_grid",
    "compose",
    "images",
    "load_profile",
    "near_one",
    "open_experiment",
    "run",
    "table",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
