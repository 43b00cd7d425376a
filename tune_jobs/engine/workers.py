"""Worker processes serve one trial after another, until one has grown too large."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

from tune_jobs.engine.messages import work_of
from tune_jobs.engine.replacing import replaced

# How much a worker may grow after its first trial before it is replaced, in MiB.
MOST_GROWTH = 2048


def replaced_when_grown(most_growth: float = MOST_GROWTH) -> AbstractContextManager[None]:
    """Let Tune give up a worker that leaks memory, so that the next trial gets a fresh one.

    Tune decides in a private method whether the next trial uses a worker again; a trial that does
    not report its worker's memory leaves the decision to it.
    """
    first: dict[str, float] = {}
    original = TuneController._maybe_cache_trial_actor

    def decide(controller: TuneController, trial: Trial) -> bool:
        work = work_of(trial.last_result or {})
        memory = work.get("memory")
        if memory is not None and memory - first.setdefault(work["worker"], memory) > most_growth:
            return False
        kept: Any = original(controller, trial)
        return bool(kept)

    return replaced(TuneController, _maybe_cache_trial_actor=decide)
