"""How an experiment ended, or how far it is, in one line."""

from __future__ import annotations

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.holder import find_holder
from tune_jobs.engine.formatting import duration


def headline(experiment: Experiment) -> str:
    """How an experiment ended or how far it is, in a line."""
    states = experiment.trials["state"].value_counts().to_dict()
    counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none yet"
    summary = experiment.summary
    if not summary:
        return f"{experiment.name}: {_without_end(experiment)}; trials: {counts}"
    epochs = len(experiment.epochs)
    attempts = f" of run {summary['attempt']}" if summary.get("attempt", 1) > 1 else ""
    return (
        f"{experiment.name}: {summary['outcome']} after {summary['seconds']:.0f} s{attempts}; "
        f"{len(experiment.trials)} trials ({counts}), {epochs:,} epochs"
    )


def _without_end(experiment: Experiment) -> str:
    """What is known of a run that has recorded no end."""
    holder = find_holder(experiment.folder)
    if holder is None or holder.life == "dead":
        who = f", {holder.who} was the last that wrote it" if holder else ""
        return f"no end was recorded{who}: it was killed"
    if holder.life == "hung":
        quiet = duration(holder.quiet)
        return f"{holder.who} has not moved for {quiet}: it hangs; end it, and start it again"
    return f"running, {holder.who} is writing it"


def is_held(experiment: Experiment) -> bool:
    """Return whether a live process writes the experiment now."""
    holder = find_holder(experiment.folder)
    return holder is not None and holder.life != "dead"
