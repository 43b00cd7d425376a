"""The words for how configs were chosen, and for what a model expects of more trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tune_jobs.engine.analysis.outlook import outlook_of
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.formatting import brief
from tune_jobs.engine.space.configs import Config

WAYS: Mapping[str, str] = {
    "random": "at random",
    "points": "given",
    "gp": "by the Gaussian process",
    "tpe": "by TPE",
    "hyperopt": "by HyperOpt's TPE",
}


def describe_search(experiment: Experiment) -> dict[str, str]:
    """Describe a search by its choices and its outlook, as far as they are known."""
    found = {"chosen": count_choices(experiment)}
    if outlook := outlook_of(experiment):
        found["matters"] = f"{', '.join(outlook.matters)} (most first, untested)"
        found["would try"] = brief(_varied(outlook.config or {}, experiment))
        found["outlook"] = outlook.sentence
    return {name: text for name, text in found.items() if text}


def _varied(config: Config, experiment: Experiment) -> Config:
    """Return a config without what all trials have in common with it."""
    known = experiment.configs.values()
    return {n: v for n, v in config.items() if any(each.get(n) != v for each in known)}


def outlook_as_json(experiment: Experiment) -> dict[str, Any] | None:
    """Return what a model expects of more trials; None if too little is known."""
    outlook = outlook_of(experiment)
    return None if outlook is None else {**asdict(outlook), "is_done": outlook.is_done}


def count_choices(experiment: Experiment) -> str:
    """Count the ways in which configs were chosen: ``8 at random, 32 by TPE``."""
    counted = Counter(experiment.trials["by"].dropna())
    return ", ".join(f"{amount} {WAYS.get(by, f'by {by}')}" for by, amount in counted.items())
