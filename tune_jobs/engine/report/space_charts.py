"""Draw what the search learnt of its space: what mattered, slices, and all trials at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tune_jobs.engine.analysis.advice import Advice, advise_on
from tune_jobs.engine.formatting import count, listed, setting, shortened
from tune_jobs.engine.report.axes import Categories, Scale, fit_values, say_outliers
from tune_jobs.engine.report.findings import Findings, Trial
from tune_jobs.engine.report.hyperparameters import Hyperparameter
from tune_jobs.engine.report.marks import Chart, Mark, Shape, box, crosswise
from tune_jobs.engine.space.domains import Range
from tune_jobs.engine.space.notation import read_described

# Slices and parallel axes that are shown at once: the most important hyperparameters'.
SLICES, AXES = 9, 7
# Effects that explain less are not drawn.
SEEN = 0.005
# Letters of the name of a parallel axis.
AXIS_NAME = 26


@dataclass(frozen=True)
class Slice:
    """One hyperparameter against the metric at the common epoch, and where to search next."""

    hyperparameter: Hyperparameter
    chart: Chart
    advice: str


def chart_importance(findings: Findings) -> Chart | None:
    """Draw each hyperparameter's share of the metric's variance; pale if not significant."""
    effects = [effect for effect in findings.effects if effect.share >= SEEN][:SLICES]
    if not effects:
        return None
    largest = max([effect.share for effect in effects] + [0.05])
    row = 1 / len(effects)
    boxes = [
        (
            effect,
            box(
                0,
                max(0.004, effect.share / largest * 0.88),
                1 - (i + 0.8) * row,
                1 - (i + 0.2) * row,
            ),
        )
        for i, effect in enumerate(effects)
    ]
    return Chart(
        title="What mattered",
        words=_importance_words(findings),
        y=[(1 - (i + 0.5) * row, shortened(e.name, 30)) for i, e in enumerate(effects)],
        marks=[
            Mark("areas", "share", [shape for effect, shape in boxes if not effect.is_noise]),
            Mark("areas", "noise", [shape for effect, shape in boxes if effect.is_noise]),
        ],
        notes=[
            (shape[1][0], (shape[0][1] + shape[2][1]) / 2, f"{effect.share:.0%}")
            for effect, shape in boxes
        ],
        legend=[
            ("areas share", "share of the variance that it explains"),
            *([("areas noise", "not significant")] if any(e.is_noise for e in effects) else []),
        ],
        height=max(30, 24 * len(effects)),
        has_grid=False,
    )


def say_interactions(findings: Findings) -> list[str]:
    """Say which pairs of hyperparameters have a significant effect together, a sentence each."""
    found = findings.importance.interactions if findings.importance else ()
    return [
        f"Together, {each.name} explain a further {each.share:.0%}: the best value of one depends "
        "on that of the other."
        for each in found
        if not each.is_noise
    ]


def slice_outliers(findings: Findings) -> str:
    """Say how many trials are beyond the axis that all slices share."""
    values = _sliced(findings)
    return say_outliers(values.values(), fit_values(list(values.values()), findings.goal))


def slices(findings: Findings) -> list[Slice]:
    """Draw a slice for each hyperparameter, the most important first."""
    values = _sliced(findings)
    if not values:
        return []
    y = fit_values(list(values.values()), findings.goal)
    advice = find_advice(findings)
    return [
        _slice(findings, hyperparameter, values, y, advice)
        for hyperparameter in findings.hyperparameters
        if any(trial in values for trial in hyperparameter.values)
    ]


def find_advice(findings: Findings) -> list[Advice]:
    """Say where to search next, as the summary does; nothing for a space that was not recorded."""
    space = read_described(findings.experiment.description.space)
    return advise_on(findings.experiment, space, findings.effects) if space else []


def chart_parallel(findings: Findings) -> Chart | None:
    """Draw a line per trial across the most important hyperparameters, to its value."""
    axes = findings.hyperparameters[:AXES]
    trials = [trial for trial in findings.shown if trial.is_usable]
    if len(axes) < 2 or not trials:
        return None
    y = fit_values([t.value for t in trials if t.value is not None], findings.goal)
    outliers = say_outliers([t.value for t in trials if t.value is not None], y)
    order = {trial.number: place for place, trial in enumerate(findings.ranked)}
    top = max(1, round(len(findings.ranked) * 0.1))
    groups: dict[str, list[tuple[int, Shape]]] = {"rest": [], "top": [], "best": []}
    for trial in trials:
        place = order[trial.number]
        look = "best" if trial is findings.chosen else "top" if place < top else "rest"
        line = [_on_axis(h, trial.number, i / len(axes)) for i, h in enumerate(axes)]
        groups[look].append((trial.number, [*line, (1.0, y.position(trial.value or 0.0))]))
    return Chart(
        title="Parallel coordinates",
        words=_parallel_words(findings, axes, top, outliers),
        marks=[
            Mark("lines", "axis", [crosswise(i / len(axes)) for i in range(len(axes) + 1)]),
            *[
                Mark("lines", look, [shape for _, shape in lines], [number for number, _ in lines])
                for look, lines in groups.items()
            ],
        ],
        x=[
            *[(i / len(axes), _axis_name(h, axes)) for i, h in enumerate(axes)],
            (1.0, shortened(findings.goal.short, AXIS_NAME)),
        ],
        notes=[
            *[note for i, h in enumerate(axes) for note in _ends(h.scale, i / len(axes))],
            *[(i / len(axes), 0.02, "not used") for i in _partly_used(axes, trials)],
            *_ends(y, 1.0),
        ],
        legend=[
            ("lines best", findings.chosen_as),
            ("lines top", "the best tenth"),
            ("lines rest", "the others"),
        ],
        height=380,
        can_step=True,
        is_staggered=True,
    )


def _partly_used(axes: Sequence[Hyperparameter], trials: Sequence[Trial]) -> list[int]:
    """Return the axes of hyperparameters that some trials do not use."""
    return [i for i, h in enumerate(axes) if any(t.number not in h.values for t in trials)]


def _axis_name(hyperparameter: Hyperparameter, axes: list[Hyperparameter]) -> str:
    """Return the name, or as many of its last parts as fit, if they are unique."""
    parts = hyperparameter.name.split(".")
    for first in range(len(parts)):
        ending = ".".join(parts[first:])
        is_unique = sum(f".{h.name}".endswith(f".{ending}") for h in axes) == 1
        if len(ending) <= AXIS_NAME and is_unique:
            return ending
    return shortened(hyperparameter.name, AXIS_NAME)


def shade_next(hyperparameter: Hyperparameter, advice: Sequence[Advice]) -> tuple[list[Shape], str]:
    """Return where to search a hyperparameter next, as boxes on its axis and in words."""
    about = [each for each in advice if hyperparameter.name in each.names]
    boxes = [_box(hyperparameter.scale, each.next_range) for each in about if each.next_range]
    sentences = {each.sentence for each in about}
    if len(sentences) < 2:
        return boxes, next(iter(sentences), "not in the recorded space")
    # The same name in several branches.
    words = [f"with {' and '.join(each.branches)}: {each.sentence}" for each in about]
    return boxes, "; ".join(words)


def _box(scale: Scale, found: Range) -> Shape:
    left, right = scale.position(found.first), scale.position(found.last)
    return box(max(0.0, left - 0.01), min(1.0, right + 0.01), 0, 1)


def _slice(
    findings: Findings,
    h: Hyperparameter,
    values: dict[int, float],
    y: Scale,
    advice: Sequence[Advice],
) -> Slice:
    boxes, words = shade_next(h, advice)
    groups: dict[str, tuple[list[Shape], list[int]]] = {}
    for trial in findings.shown:
        if trial.number in values and trial.number in h.values:
            place = _jittered(h.scale, h.values[trial.number], trial.number)
            shapes, numbers = groups.setdefault(findings.shade(trial), ([], []))
            shapes.append([(place, y.position(values[trial.number]))])
            numbers.append(trial.number)
    active = sum(len(numbers) for _, numbers in groups.values())
    chart = Chart(
        title=h.name,
        words=f"{findings.goal.words} after {count(findings.common_epoch, 'epoch')} against "
        f"{h.name} ({h.range or 'a choice'}) in {count(active, 'trial')}; {words}.",
        x=h.scale.ticks(4),
        y=y.ticks(4),
        marks=[
            Mark("areas", "next", boxes),
            *[Mark("points", look, *group) for look, group in sorted(groups.items())],
        ],
        height=150,
    )
    return Slice(h, chart, words)


def _jittered(scale: Scale, value: object, trial: int) -> float:
    """Return a place on the axis; within a category's place it follows from the trial's number."""
    place = scale.position(value)
    if not isinstance(scale, Categories):
        return place
    return place + ((trial * 0.618034) % 1 - 0.5) * 0.6 / len(scale.labels)


def _sliced(findings: Findings) -> dict[int, float]:
    """Return the values of the trials that are shown, at the common epoch."""
    shown = {trial.number for trial in findings.shown}
    return {trial: value for trial, value in findings.common_values.items() if trial in shown}


def _on_axis(h: Hyperparameter, trial: int, x: float) -> tuple[float, float]:
    """Return the place on a parallel axis; at the bottom if it was not used."""
    if trial not in h.values:
        return x, 0.0
    return x, 0.06 + 0.88 * h.scale.position(h.values[trial])


def _ends(scale: Scale, x: float) -> list[tuple[float, float, str]]:
    """Label a parallel axis: with all of a few categories, or with both ends."""
    ticks = scale.ticks(6)
    if isinstance(scale, Categories) or len(ticks) < 2:
        return [(x, 0.06 + 0.88 * place, shortened(text, 12)) for place, text in ticks]
    ends = [ticks[0], ticks[-1]]
    if x == 1.0:
        return [(x, place, text) for place, text in ends]
    return [(x, 0.06 + 0.88 * place, text) for place, text in ends]


def _importance_words(findings: Findings) -> str:
    if not findings.importance:
        return ""
    real = [f"{e.name} {e.share:.0%}" for e in findings.effects if not e.is_noise]
    noise = [e.name for e in findings.effects if e.is_noise]
    said = f"Effects on {findings.importance.about}: {listed(real, 8) if real else 'none found'}"
    if noise:
        said += f". Not significant: {listed(noise, 8)}"
    return f"{said}."


def _parallel_words(findings: Findings, axes: list[Hyperparameter], top: int, outliers: str) -> str:
    best = findings.best
    said = [
        f"{h.name} {setting(best.config[h.name])}" for h in axes if best and h.name in best.config
    ]
    return (
        f"Each trial as a line over {listed([h.name for h in axes], AXES)}; "
        f"{'the best one is' if top == 1 else f'the best {top} are'} marked. "
        f"The best trial: {', '.join(said) or 'none of these active'}. {outliers}"
    ).rstrip()
