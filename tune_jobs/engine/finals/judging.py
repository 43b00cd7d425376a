"""Judge the finalists: who won, how sure that is, and how much of the search's score was luck."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from tune_jobs.engine.analysis.estimates import Estimate, Scores, cheapest_within, estimate
from tune_jobs.engine.experiments.verdict import (
    ChallengeResult,
    Cheapest,
    Finalist,
    RunnerUp,
    Verdict,
)
from tune_jobs.engine.finals.candidates import Candidate
from tune_jobs.engine.finals.race import Race
from tune_jobs.engine.formatting import rounded


@dataclass(frozen=True)
class Cost:
    """The cost of a candidate.

    Attributes:
        parameters: how many trainable parameters it has, None if unknown.
        seconds: how long one fit takes, None if unknown.
    """

    parameters: int | None = None
    seconds: float | None = None


def give_verdict(
    race: Race,
    candidates: Sequence[Candidate],
    costs: Sequence[Cost],
) -> Verdict | None:
    """Judge a race that has ended; return None if every finalist failed.

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
    verdict = Verdict(
        trial=winner.trial,
        config=winner.config,
        metric=race.goal.metric,
        mode=race.goal.mode,
        epochs=race.epochs(first),
        search_value=winner.value if has_value else None,
        mean=fresh.mean,
        interval=(fresh.lower, fresh.upper),
        level=race.level,
        scores=fresh.scores,
        luck=race.goal.sign * (fresh.mean - winner.value) if has_value else 0.0,
        is_distinguished=runner_up is not None and runner_up.interval[0] > 0,
        runner_up=runner_up,
        one_standard_error=_choose_cheapest(race, candidates, costs),
        finalists=tuple(
            _describe(race, place, candidate, costs[place])
            for place, candidate in enumerate(candidates)
        ),
        challenge=None if race.incumbent is None else _judge(race, candidates),
        sentence="",
    )
    return replace(verdict, sentence=_say(verdict, race.goal.words))


def _judge(race: Race, candidates: Sequence[Candidate]) -> ChallengeResult:
    """Say whether to replace the incumbent, with the numbers and the reason in a sentence."""
    gain, other = race.gain, race.challenger
    return ChallengeResult(
        answer=race.answer,
        incumbent=candidates[race.incumbent or 0].trial,
        challenger=None if other is None else candidates[other].trial,
        gain=gain.mean if gain else None,
        interval=(gain.lower, gain.upper) if gain else None,
        p_value=gain.p_value if gain else None,
        scores=gain.scores if gain else 0,
        level=race.level,
        least_gain=race.least_gain,
        reason=_say_challenge(race, candidates),
    )


def _say_challenge(race: Race, candidates: Sequence[Candidate]) -> str:
    """Say why to keep or to replace the incumbent, or why that cannot be decided."""
    gain, other, place = race.gain, race.challenger, race.incumbent or 0
    if place in race.lost:
        return f"the worker that trained the incumbent was lost: {race.failures[place]}"
    if place in race.failures and other is not None:
        return (
            f"the incumbent cannot be trained on this data ({race.failures[place]}), but trial "
            f"{candidates[other].trial} can"
        )
    if gain is None or other is None:
        out = " or were eliminated before" if race.dropped else ""
        return f"all challengers failed{out}"
    challenger = f"trial {candidates[other].trial}"
    required = f", at least {race.least_gain:.3g} is required" if race.least_gain else ""
    way = "better" if gain.mean > 0 else "worse"
    numbers = (
        f"{abs(gain.mean):.3g} {way} in {race.goal.words} than the incumbent "
        f"on the same {gain.scores} fresh seeds and folds ({race.level:.0%} CI of the gain "
        f"{gain.lower:.3g} to {gain.upper:.3g}{required})"
    )
    return {
        "replace": f"{challenger} is {numbers}",
        "keep": f"no challenger is significantly better; the best, {challenger}, is {numbers}",
        "inconclusive": f"{challenger} is {numbers}, which is not significant",
    }[race.answer or "inconclusive"]


def _compare(race: Race, candidates: Sequence[Candidate], second: int) -> RunnerUp:
    """Compare the runner-up with the winner."""
    pairs = zip(race.fresh_scores(second), race.fresh_scores(race.ranking[0]), strict=False)
    gap = _estimate(race, np.array([other - won for other, won in pairs]))
    return RunnerUp(
        trial=candidates[second].trial,
        mean=race.goal.sign * float(race.fresh_scores(second).mean()),
        gap=gap.mean,
        interval=(gap.lower, gap.upper),
        p_value=gap.p_value,
    )


def _choose_cheapest(
    race: Race, candidates: Sequence[Candidate], costs: Sequence[Cost]
) -> Cheapest | None:
    """Choose the cheapest finalist within one standard error of the best.

    None if that is the winner, and if there is an incumbent: then the question is another one. It
    rests on the scores used to choose, which all finalists that were not dropped have.
    """
    if race.incumbent is not None:
        return None
    places = race.ranking
    best = _estimate(race, race.choice_scores(places[0]))
    means = [float(race.choice_scores(place).mean()) for place in places]
    known = [cost for place in places if (cost := costs[place].parameters) is not None]
    by_parameters = len(known) == len(places)
    spent: Sequence[float] = known
    if not by_parameters:
        spent = [costs[place].seconds or 0.0 for place in places]
    margin = 0.0 if np.isnan(best.standard_error) else best.standard_error
    chosen = cheapest_within(means, spent, margin)
    if chosen == 0:
        return None
    place = places[chosen]
    return Cheapest(
        trial=candidates[place].trial,
        mean=race.goal.sign * means[chosen],
        **asdict(costs[place]),
        by="parameters" if by_parameters else "seconds",
    )


def _describe(race: Race, place: int, candidate: Candidate, cost: Cost) -> Finalist:
    """Describe a finalist: the scores used to choose, and those held back to estimate.

    Mean and interval are of those held back, if there are any.
    """
    scores = race.goal.sign * race.choice_scores(place)
    later = race.goal.sign * race.fresh_scores(place) if len(scores) else scores
    found = _estimate(race, later if len(later) else scores) if len(scores) else None
    return Finalist(
        trial=candidate.trial,
        config=candidate.config,
        search_value=candidate.value if math.isfinite(candidate.value) else None,
        mean=found.mean if found else None,
        interval=(found.lower, found.upper) if found else None,
        scores=tuple(scores.tolist()),
        later_scores=tuple(later.tolist()),
        epochs=race.epochs(place) if found else None,
        **asdict(cost),
        dropped_after=race.dropped.get(place),
        failure=race.failures.get(place),
    )


def _say(verdict: Verdict, metric: str) -> str:
    """Put a verdict into a sentence or two."""
    low, high = verdict.interval
    said = (
        f"trial {verdict.trial} won: {metric} {verdict.mean:.4g} "
        f"({verdict.level:.0%} CI {low:.4g} to {high:.4g})"
    )
    second = verdict.runner_up
    if second is None:
        return f"{said}."
    low, high = second.interval
    other = f"the runner-up, trial {second.trial}"
    spread = f"{verdict.level:.0%} CI {rounded(low)} to {rounded(high)}"
    gap = f"difference {rounded(second.gap)} ({spread})"
    if verdict.is_distinguished:
        return f"{said}; it is significantly better than {other}: {gap}."
    if high < 0:
        return f"{said}; but {other}, was better on the scores held back to estimate: {gap}."
    return f"{said}; no significant difference from {other}: {gap}."


def _estimate(race: Race, scores: Scores) -> Estimate:
    return estimate(scores, race.overlap, race.level)
