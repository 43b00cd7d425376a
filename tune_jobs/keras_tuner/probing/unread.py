"""Find hyperparameters that change nothing of the model that ``build`` returns."""

from __future__ import annotations

from tune_jobs.keras_tuner.probing.probes import Prober


def find_unread(prober: Prober) -> list[str]:
    """Return the names whose value alone was changed in a call, without any effect.

    The model has to be the same with each value that was tried, its compilation included.
    """
    known = [probe for probe in prober.probes if probe.model]
    effects: dict[str, set[bool]] = {}
    for place, one in enumerate(known):
        for other in known[:place]:
            if one.values.keys() != other.values.keys():
                continue
            changed = [name for name, value in one.values.items() if other.values[name] != value]
            if len(changed) == 1:
                effects.setdefault(changed[0], set()).add(one.model != other.model)
    return [name for name in prober.probes[0].values if effects.get(name) == {False}]
