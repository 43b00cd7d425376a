"""The verdict on the finalists: who won, how sure that is, and how much of it was luck."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tune_jobs.engine.analysis.estimates import Estimate, cheapest_within, estimate
from tune_jobs.engine.finals.candidates import Candidate
from tune_jobs.engine.finals.race import Race

# What a candidate costs: trainable parameters where they are known, and seconds of one fit.
Cost = Mapping[str, float | None]


def give_verdict(
    race: Race,
    candidates: Sequence[Candidate],
    costs: Sequence[Cost],
) -> dict[str, Any] | None:
    """What there is to say of a race that is over, as JSON; None where nobody came through.

    ``mean`` and ``interval`` of the winner, and the ``gap`` to the runner-up, rest on scores that
    had no part in the choice, at an epoch that was chosen without them: so they are unbiased. The
    intervals are those of the corrected resampled t-test (Nadeau and Bengio 2003).
    """
    if not race.ranking:
        return None
    first = race.ranking[0]
    winner = candidates[first]
    fresh = _estimate(race, race.goal.sign * race.fresh_scores(first))
    runner_up = _compare(race, candidates, race.ranking[1]) if race.pair[1:] else None
    has_value = math.isfinite(winner.value)
    verdict = {
        "trial": winner.trial,
        "config": winner.config,
        "metric": race.goal.metric,
        "mode": race.goal.mode,
        "epochs": race.epochs(first),
        "search_value": winner.value if has_value else None,
        "mean": fresh.mean,
        "interval": [fresh.lower, fresh.upper],
        "level": race.level,
        "scores": fresh.scores,
        "luck": race.goal.sign * (fresh.mean - winner.value) if has_value else 0.0,
        "is_distinguished": bool(runner_up and runner_up.pop("is_distinguished")),
        "runner_up": runner_up,
        "one_standard_error": _choose_cheapest(race, candidates, costs),
        "finalists": [
            _describe(race, place, candidates[place], costs[place])
            for place in range(len(candidates))
        ],
    }
    challenge = {} if race.incumbent is None else {"challenge": _judge(race, candidates)}
    return verdict | challenge | {"sentence": _say(verdict)}


def _judge(race: Race, candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Whether the incumbent is to be replaced, with the numbers and the reason in a sentence."""
    gain, other = race.gain, race.challenger
    return {
        "answer": race.answer,
        "incumbent": candidates[race.incumbent or 0].trial,
        "challenger": None if other is None else candidates[other].trial,
        "gain": gain and gain.mean,
        "interval": gain and [gain.lower, gain.upper],
        "p_value": gain and gain.p_value,
        "scores": gain.scores if gain else 0,
        "level": race.level,
        "least_gain": race.least_gain,
        "reason": _say_challenge(race, candidates),
    }


def _say_challenge(race: Race, candidates: Sequence[Candidate]) -> str:
    """Why the incumbent is to be kept or replaced, or why that cannot be said."""
    gain, other, place = race.gain, race.challenger, race.incumbent or 0
    if place in race.lost:
        return f"the incumbent was lost with its machine: {race.failures[place]}"
    if place in race.failures and other is not None:
        return (
            f"the incumbent cannot be trained on these data ({race.failures[place]}), but trial "
            f"{candidates[other].trial} can"
        )
    if gain is None or other is None:
        out = ", or were out before the others failed" if race.dropped else ""
        return f"the challengers could not be trained{out}"
    challenger = f"trial {candidates[other].trial}"
    wanted = f", at least {race.least_gain:.3g} is wanted" if race.least_gain else ""
    way = "better" if gain.mean > 0 else "worse"
    numbers = (
        f"{abs(gain.mean):.3g} {race.goal.metric} {way} than the incumbent "
        f"on the same {gain.scores} fresh seeds and folds ({race.level:.0%} interval of the gain "
        f"{gain.lower:.3g} to {gain.upper:.3g}{wanted})"
    )
    return {
        "replace": f"{challenger} is {numbers}",
        "keep": f"no challenger is shown to be better; the best, {challenger}, did {numbers}",
        "inconclusive": f"{challenger} did {numbers}, which may be chance",
    }[race.answer or "inconclusive"]


def _compare(race: Race, candidates: Sequence[Candidate], second: int) -> dict[str, Any]:
    """The runner-up, and its distance from the winner: positive where that is better."""
    pairs = zip(race.fresh_scores(second), race.fresh_scores(race.ranking[0]), strict=False)
    gap = _estimate(race, np.array([other - won for other, won in pairs]))
    return {
        "trial": candidates[second].trial,
        "mean": race.goal.sign * float(race.fresh_scores(second).mean()),
        "gap": gap.mean,
        "interval": [gap.lower, gap.upper],
        "p_value": gap.p_value,
        "is_distinguished": gap.lower > 0,
    }


def _choose_cheapest(
    race: Race, candidates: Sequence[Candidate], costs: Sequence[Cost]
) -> dict[str, Any] | None:
    """The cheapest finalist within one standard error of the best, None where the winner is it.

    None, too, where the question is another one: whether an incumbent is beaten. It rests on the
    scores that chose, which all that are not out have.
    """
    if race.incumbent is not None:
        return None
    places = race.ranking
    best = _estimate(race, race.choice_scores(places[0]))
    known = all(costs[place]["parameters"] is not None for place in places)
    kind = "parameters" if known else "seconds"
    means = [float(race.choice_scores(place).mean()) for place in places]
    margin = 0.0 if np.isnan(best.standard_error) else best.standard_error
    chosen = cheapest_within(means, [costs[place][kind] or 0.0 for place in places], margin)
    if chosen == 0:
        return None
    place = places[chosen]
    return {
        "trial": candidates[place].trial,
        "mean": race.goal.sign * means[chosen],
        **costs[place],
        "by": kind,
    }


def _describe(race: Race, place: int, candidate: Candidate, cost: Cost) -> dict[str, Any]:
    """A finalist: the scores that the choice rested on, and those that had no part in it.

    Mean and interval are of the latter where there are any.
    """
    scores = race.goal.sign * race.choice_scores(place)
    later = race.goal.sign * race.fresh_scores(place) if len(scores) else scores
    found = _estimate(race, later if len(later) else scores) if len(scores) else None
    return {
        "trial": candidate.trial,
        "config": candidate.config,
        "search_value": candidate.value if math.isfinite(candidate.value) else None,
        "mean": found.mean if found else None,
        "interval": [found.lower, found.upper] if found else None,
        "scores": scores.tolist(),
        "later_scores": later.tolist(),
        "epochs": race.epochs(place) if found else None,
        **cost,
        "dropped_after": race.dropped.get(place),
        "failure": race.failures.get(place),
    }


def _say(verdict: Mapping[str, Any]) -> str:
    """The verdict in a sentence or two."""
    low, high = verdict["interval"]
    said = (
        f"trial {verdict['trial']} won: {verdict['metric']} {verdict['mean']:.4g}, and between "
        f"{low:.4g} and {high:.4g} with {verdict['level']:.0%} confidence"
    )
    second = verdict["runner_up"]
    if second is None:
        return f"{said}."
    low, high = second["interval"]
    other = f"the runner-up, trial {second['trial']}"
    way = "better" if second["gap"] > 0 else "worse"
    gap = f"by {abs(second['gap']):.2g} {way} here, and by {low:.2g} to {high:.2g} in the long run"
    if verdict["is_distinguished"]:
        return f"{said}; it is better than {other}: {gap}."
    if high < 0:
        return (
            f"{said}; but {other}, did better on the scores that had no part in the choice: {gap}."
        )
    return f"{said}; it cannot be told apart from {other}: {gap}."


def _estimate(race: Race, scores: Any) -> Estimate:
    return estimate(scores, race.overlap, race.level)
