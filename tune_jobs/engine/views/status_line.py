"""Say in one line how an experiment ended, or how far it is."""

from __future__ import annotations

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.holder import find_holder
from tune_jobs.engine.formatting import duration


def headline(experiment: Experiment) -> str:
    """Say in one line how an experiment ended, or how far it is."""
    states = experiment.trials["state"].value_counts().to_dict()
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none yet"
    summary = experiment.summary
    if summary is None:
        return f"{experiment.name}: {_without_end(experiment)}; trials: {counts}"
    epochs = len(experiment.epochs)
    took = "" if summary.seconds is None else f" after {summary.seconds:.0f} s"
    attempts = f" of run {summary.attempt}" if (summary.attempt or 1) > 1 else ""
    return (
        f"{experiment.name}: {summary.outcome}{took}{attempts}; "
        f"{len(experiment.trials)} trials ({counts}), {epochs:,} epochs"
    )


def _without_end(experiment: Experiment) -> str:
    """Say what is known of a run that has recorded no end."""
    holder = find_holder(experiment.folder)
    if holder is None or holder.life == "dead":
        who = f", last written by {holder.who}" if holder else ""
        return f"no end was recorded{who}: it was killed"
    if holder.life == "hung":
        quiet = duration(holder.quiet)
        return f"no progress for {quiet}, {holder.who} hangs: stop it, and start it again"
    return f"running, written by {holder.who}"


def is_held(experiment: Experiment) -> bool:
    """Return whether a live process writes the experiment now."""
    holder = find_holder(experiment.folder)
    return holder is not None and holder.life != "dead"
