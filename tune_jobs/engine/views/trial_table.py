"""The table of an experiment's trials on a terminal, with a column per hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tune_jobs.engine.analysis.in_unit import InUnit, read_in_unit
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.formatting import NONE, columns, columns_of, listed, number, setting
from tune_jobs.engine.space.configs import Config

MOST_ROWS = 20
GAP = 2


def trial_table(experiment: Experiment, width: int | None = None) -> list[str]:
    """Tabulate the best trials, then failed ones and those without a value.

    Hyperparameters that are the same in all trials are left out. Those that do not fit into a
    terminal are named below.

    Args:
        experiment: its trials.
        width: of the terminal; None if it is not limited.
    """
    trials = experiment.trials
    top = experiment.ranked.head(MOST_ROWS)
    others = trials.drop(experiment.usable.index).head(MOST_ROWS)
    numbers = [int(n) for n in (*top["trial"], *others["trial"])]
    error = read_in_unit(experiment)
    head = ["trial", experiment.goal.short, *([error.name] if error else []), "epoch", "state"]
    results = len(head)
    rows = [_results(row, error) for row in (*top.itertuples(), *others.itertuples())]
    settings = _settings([experiment.configs[n] for n in numbers])
    shown = _fitting(settings, [head, *rows], width)
    names = _short_names(list(settings))
    head += [names[name] for name in shown]
    rows = [[*row, *(settings[name][place] for name in shown)] for place, row in enumerate(rows)]
    numeric = [place + results for place, name in enumerate(shown) if _is_numeric(settings[name])]
    left, hidden = len(trials) - len(rows), [name for name in settings if name not in shown]
    return [
        *columns([head, *rows], right=(*range(results - 1), *numeric)),
        *([f"and {left} more in trials.parquet"] if left else []),
        *([f"not shown: {listed([names[name] for name in hidden])}"] if hidden else []),
    ]


def _results(row: Any, error: InUnit | None) -> list[str]:
    errors = [number(error.trials.get(row.trial), 5)] if error else []
    epoch = f"{row.best_epoch}/{row.epochs}" if row.value == row.value else f"-/{row.epochs}"
    return [str(row.trial), number(row.value, 5), *errors, epoch, row.state]


def _settings(configs: Sequence[Config]) -> dict[str, list[str]]:
    """Return the cells of each hyperparameter that varies, lists last since they are long."""
    flat = [_flatten(config) for config in configs]
    names = list(dict.fromkeys(name for config in flat for name in config))
    found = {n: [setting(c[n]) if n in c else NONE for c in flat] for n in names}
    varied = {name: cells for name, cells in found.items() if len(set(cells)) > 1}
    is_list = {name: any(isinstance(c.get(name), list) for c in flat) for name in varied}
    return {name: varied[name] for name in sorted(varied, key=lambda name: is_list[name])}


def _flatten(config: Mapping[str, Any], label: str = "") -> dict[str, Any]:
    """Give nested choices dotted names, their kinds the name of the choice; lists stay whole."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        path = f"{label}.{name}" if label else name
        if isinstance(value, dict):
            found |= _flatten(value, path)
        else:
            found[label if label and name == "name" else path] = value
    return found


def _fitting(
    settings: Mapping[str, Sequence[str]], table: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """Return the hyperparameters whose columns fit beside the results.

    Those that most trials use come first, and of them the narrowest.
    """
    if width is None:
        return list(settings)
    names = _short_names(list(settings))
    widths = {n: max(map(columns_of, (names[n], *cells))) for n, cells in settings.items()}
    used = (max(columns_of(row[place]) for row in table) + GAP for place in range(len(table[0])))
    room, fitting = width - sum(used), set()
    for name in sorted(settings, key=lambda name: (settings[name].count(NONE), widths[name])):
        if widths[name] <= room:
            fitting.add(name)
            room -= widths[name] + GAP
    return [name for name in settings if name in fitting]


def _short_names(names: Sequence[str]) -> dict[str, str]:
    """Shorten dotted names to their last part, if no other name ends like it."""
    last = [name.rpartition(".")[2] for name in names]
    return {
        name: short if last.count(short) == 1 else name
        for name, short in zip(names, last, strict=True)
    }


def _is_numeric(cells: Sequence[str]) -> bool:
    return all(cell == NONE or cell[:1] in "-.0123456789" for cell in cells)
