"""The race: its outcome follows from the curves, and what it says of the winner is unbiased."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.engine.experiments.verdict import Verdict
from tune_jobs.engine.finals.candidates import Candidate
from tune_jobs.engine.finals.judging import Cost, give_verdict
from tune_jobs.engine.finals.race import Race, Task
from tune_jobs.engine.goal import Goal


def make_race(finalists=3, choosing=2, confirming=2, mode="min", overlap=0.0) -> Race:
    return Race(finalists, choosing, confirming, Goal("loss", mode), overlap, level=0.95)


def run(race: Race, score, order=lambda _: 0) -> list[Task]:
    """Train tasks, at most 3 at once; ``order`` says which of those that run ends next."""
    done, running = [], []
    while not race.is_done:
        while len(running) < 3 and (task := race.next_task()) is not None:
            race.start(task)
            running.append(task)
        task = running.pop(order(running))
        done.append(task)
        race.add(task, score(task))
    return done


def noisy(means, noise, replicas=4, epochs=3):
    """Curves that fall to their mean at the last epoch; the same ones for the same task."""

    def score(task: Task):
        rng = np.random.default_rng([task.finalist, task.batch])
        return [
            {
                e: means[task.finalist] + epochs - e + rng.normal(0, noise)
                for e in range(1, 1 + epochs)
            }
            for _ in range(replicas)
        ]

    return score


def test_the_best_mean_wins_and_the_clearly_behind_is_trained_no_further() -> None:
    race = make_race()
    done = run(race, noisy([0.0, 0.1, 50.0], noise=0.3))

    assert race.dropped == {2: 1}
    assert [task for task in done if task.finalist == 2] == [Task(2, 0)]
    assert len(race.fresh_scores(race.ranking[0])) == 8
    assert race.epochs(0) == 3


def test_one_that_is_behind_gets_no_fresh_scores_and_the_third_neither() -> None:
    race = make_race(finalists=4)
    done = run(race, noisy([0.0, 0.01, 0.02, 0.03], noise=0.1))
    confirmed = {task.finalist for task in done if task.batch >= 2}
    assert confirmed == set(race.ranking[:2])


@settings(max_examples=60)
@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
    st.lists(st.integers(0, 2), min_size=60, max_size=60),
    st.sampled_from(["min", "max"]),
)
def test_the_outcome_does_not_depend_on_which_task_ends_first(means, order, mode) -> None:
    races = [make_race(len(means), 3, 2, mode), make_race(len(means), 3, 2, mode)]
    choices = iter(order * 3)
    run(races[0], noisy(means, noise=0.2, replicas=2))
    run(races[1], noisy(means, 0.2, 2), lambda running: next(choices) % len(running))

    assert races[0].ranking == races[1].ranking
    assert races[0].dropped == races[1].dropped
    winner = races[0].ranking[0]
    assert races[0].fresh_scores(winner).tolist() == races[1].fresh_scores(winner).tolist()


def test_the_winner_is_the_highest_where_the_metric_rises() -> None:
    race = make_race(mode="max")
    run(race, lambda task: [{1: [0.5, 0.9, 0.7][task.finalist]}] * 2)
    assert race.ranking[0] == 1


def test_a_finalist_that_cannot_be_trained_is_out_and_the_next_takes_its_place() -> None:
    race = make_race()
    score = noisy([0.0, 0.1, 0.2], noise=0.5)
    while not race.is_done:
        task = race.next_task()
        race.start(task)
        if task.finalist == 0 and task.batch == 3:  # when it had been chosen already
            race.fail(task, "out of memory")
        else:
            race.add(task, score(task))

    assert race.failures == {0: "out of memory"}
    assert race.ranking[0] == 1
    assert len(race.fresh_scores(1)) == len(race.fresh_scores(2)) == 8


def test_where_nobody_can_be_trained_there_is_no_verdict() -> None:
    race = make_race(finalists=1)
    race.fail(race.next_task(), "out of memory")
    assert race.is_done
    assert give_verdict(race, [Candidate(1, {}, 0.1)], [Cost()]) is None


def test_a_fit_that_ended_earlier_counts_with_its_last_value() -> None:
    race = make_race(finalists=1, choosing=1, confirming=1)
    curves = [{1: 3.0, 2: 1.0, 3: 0.0}, {1: 3.0, 2: 2.0}]
    run(race, lambda _: curves)
    assert race.epochs(0) == 3
    assert race.fresh_scores(0).tolist() == [0.0, 2.0]


def test_what_was_begun_and_not_ended_is_trained_again() -> None:
    race = make_race(finalists=2)
    first = race.next_task()
    race.start(first)
    race.forget_unfinished()
    assert race.next_task() == first


def verdict_of(race: Race, values) -> Verdict:
    candidates = [Candidate(10 + place, {"x": place}, v) for place, v in enumerate(values)]
    costs = [Cost(100 - place, seconds=1.0) for place in range(len(values))]
    return give_verdict(race, candidates, costs)


def test_the_verdict_tells_winner_from_runner_up_only_where_it_can() -> None:
    clear, close = make_race(finalists=2), make_race(finalists=2)
    run(clear, lambda task: [{1: task.finalist + n / 1000} for n in range(4)])
    run(close, noisy([0.0, 0.01], noise=0.5))
    values = [-0.5, -0.4]

    told = verdict_of(clear, values)
    assert told.trial == 10
    assert told.luck == pytest.approx(0.5, abs=0.01)
    assert told.is_distinguished
    assert told.runner_up.gap == pytest.approx(1)
    assert told.runner_up.interval[0] > 0.99
    assert verdict_of(close, values).is_distinguished is False
    assert "no significant difference" in verdict_of(close, values).sentence


def test_the_cheapest_that_is_tied_is_named() -> None:
    race = make_race(finalists=3)
    run(race, lambda task: [{1: [0.0, 0.1, 9.0][task.finalist] + n % 2} for n in range(4)])
    cheap = verdict_of(race, [0.0, 0.0, 0.0]).one_standard_error
    assert cheap.trial == 11
    assert cheap.parameters == 99


def test_the_intervals_cover_the_winners_true_value_at_their_level() -> None:
    rng, covered, search_errors = np.random.default_rng(0), [], []
    for _ in range(400):
        truth = rng.normal(0, 0.2, 40)
        seen = truth + rng.normal(0, 1, 40)
        best = np.argsort(seen)[:5]
        race = make_race(5, 6, 6)
        means = truth[best]
        run(race, lambda task, means=means: [{1: means[task.finalist] + rng.normal()}])
        told = verdict_of(race, seen[best])
        true = truth[best[race.ranking[0]]]
        covered.append(told.interval[0] <= true <= told.interval[1])
        search_errors.append(seen[best[0]] - truth[best[0]])

    assert np.mean(covered) == pytest.approx(0.95, abs=0.033)  # three standard errors
    assert np.mean(search_errors) < -1.5  # in standard deviations of the noise


def challenged(finalists=3, *, incumbent=0, mode="min", least_gain=0.0, batches=2) -> Race:
    """A race in which one finalist is in use."""
    how = {"incumbent": incumbent, "least_gain": least_gain}
    return Race(finalists, batches, batches, Goal("loss", mode), overlap=0.0, level=0.95, **how)


def run_failing(race: Race, score, fails) -> None:
    """Train one task after the other; ``fails`` says which break off, and how."""
    while not race.is_done:
        task = race.next_task()
        if how := fails(task):
            race.fail(task, "out of memory", is_lost=how == "lost")
        else:
            race.add(task, score(task))


def flat(means, spread=0.01):
    """Scores that hardly vary, the same for all finalists but for their means."""
    return lambda task: [{1: means[task.finalist] + spread * (n % 2)} for n in range(4)]


@pytest.mark.parametrize("incumbent", [0, 1, 2])
def test_the_incumbent_is_never_out(incumbent) -> None:
    race = challenged(4, incumbent=incumbent)
    means = [0.0, 0.1, 0.2, 0.3]
    means[incumbent] = 50.0

    run(race, noisy(means, noise=0.01))

    assert incumbent not in race.dropped
    assert race.dropped
    assert len(race.choice_scores(incumbent)) == len(race.fresh_scores(incumbent)) == 8


@pytest.mark.parametrize("incumbent", [0, 1, 2, 3])
def test_incumbent_and_best_challenger_are_confirmed(incumbent) -> None:
    race = challenged(4, incumbent=incumbent)
    done = run(race, noisy([0.3, 0.2, 0.1, 0.0], noise=0.01))

    best = 2 if incumbent == 3 else 3
    assert race.pair == [incumbent, best]
    assert race.challenger == best
    assert {task.finalist for task in done if task.batch >= 2} == {incumbent, best}


def test_a_challenger_that_is_better_replaces_the_incumbent() -> None:
    race = challenged(3, incumbent=1)
    run(race, noisy([0.0, 0.5, 1.0], noise=0.01))

    assert race.answer == "replace"
    assert race.ranking == [0, 1]
    assert race.gain.mean == pytest.approx(0.5, abs=0.02)
    assert race.gain.scores == 8


def test_an_incumbent_that_is_better_is_kept_and_wins() -> None:
    race = challenged(3, incumbent=2)
    run(race, noisy([0.5, 1.0, 0.0], noise=0.01))

    assert race.answer == "keep"
    assert race.ranking[:2] == [2, 0]
    assert race.gain.mean == pytest.approx(-0.5, abs=0.02)


def test_equal_scores_keep_the_incumbent() -> None:
    race = challenged(2, incumbent=1)
    run(race, lambda _: [{1: 0.5 + n} for n in range(4)])

    assert race.answer == "keep"
    assert race.ranking == [1, 0]
    assert (race.gain.mean, race.gain.lower, race.gain.upper) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("least_gain", "answer"), [(0.0, "replace"), (0.4, "replace"), (0.6, "keep")]
)
def test_a_gain_has_to_be_as_large_as_is_wanted(least_gain, answer) -> None:
    race = challenged(2, incumbent=0, least_gain=least_gain)
    run(race, noisy([0.5, 0.0], noise=0.01))
    assert race.answer == answer
    assert race.ranking[0] == (1 if answer == "replace" else 0)


@settings(max_examples=80)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=5),
    st.integers(0, 4),
    st.floats(0, 0.5),
    st.floats(0.01, 1),
    st.sampled_from(["min", "max"]),
)
def test_the_challenger_wins_only_with_its_whole_interval(
    means, place, least_gain, noise, mode
) -> None:
    race = challenged(len(means), incumbent=place % len(means), mode=mode, least_gain=least_gain)
    run(race, noisy(means, noise))

    first = race.ranking[0]
    assert first in race.pair
    assert (first == race.challenger) == (race.gain.lower > least_gain)
    assert (first == race.challenger) == (race.answer == "replace")
    better = race.fresh_scores(race.incumbent) - race.fresh_scores(race.challenger)
    assert race.gain.mean == pytest.approx(better.mean())


@settings(max_examples=60)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=5),
    st.integers(0, 4),
    st.lists(st.integers(0, 2), min_size=60, max_size=60),
    st.sampled_from(["min", "max"]),
)
def test_the_answer_does_not_depend_on_which_task_ends_first(means, place, order, mode) -> None:
    races = [challenged(len(means), incumbent=place % len(means), mode=mode) for _ in range(2)]
    choices = iter(order * 3)
    run(races[0], noisy(means, noise=0.2, replicas=2))
    run(races[1], noisy(means, 0.2, 2), lambda running: next(choices) % len(running))

    assert races[0].answer == races[1].answer
    assert races[0].gain == races[1].gain
    assert races[0].ranking == races[1].ranking
    assert races[0].challenger == races[1].challenger


def test_a_rising_metric_is_gained_by_more() -> None:
    race = challenged(2, incumbent=0, mode="max")
    run(race, flat([0.5, 0.9]))
    assert race.answer == "replace"
    assert race.gain.mean == pytest.approx(0.4)


def test_a_falling_metric_is_not() -> None:
    race = challenged(2, incumbent=0, mode="min")
    run(race, flat([0.5, 0.9]))
    assert race.answer == "keep"


def test_before_it_is_known_there_is_no_answer() -> None:
    race, score = challenged(2), flat([0.5, 0.0])
    while not race.is_done:
        assert race.answer is None
        task = race.next_task()
        race.add(task, score(task))
    assert race.answer == "replace"


def test_without_an_incumbent_there_is_no_answer() -> None:
    race = make_race()
    run(race, flat([0.0, 0.5, 1.0]))
    assert (race.answer, race.gain) == (None, None)


@pytest.mark.parametrize("batch", [0, 1, 2, 3])
@pytest.mark.parametrize(("how", "answer"), [("failed", "replace"), ("lost", "inconclusive")])
def test_an_incumbent_that_fails_is_replaced_unless_its_machine_was_lost(
    batch, how, answer
) -> None:
    race = challenged(3, incumbent=1)
    run_failing(race, flat([0.5, 0.0, 0.9]), lambda task: task == Task(1, batch) and how)

    assert race.answer == answer
    assert race.gain is None
    assert race.ranking[0] == 0
    assert len(race.fresh_scores(0)) == 8  # so that its score is told


@pytest.mark.parametrize("batch", [0, 2])
@pytest.mark.parametrize("how", ["failed", "lost"])
def test_where_all_challengers_fail_the_incumbent_is_kept(batch, how) -> None:
    race = challenged(3, incumbent=2)
    run_failing(
        race,
        flat([0.0, 0.1, 0.5]),
        lambda task: task.finalist != 2 and task.batch == batch and how,
    )

    # Not where they were lost, or one that was out might have beaten it.
    is_told = how == "failed" and not race.dropped
    assert (race.answer, race.gain) == ("keep" if is_told else "inconclusive", None)
    assert (race.ranking, race.challenger) == ([2], None)


def test_where_the_best_challenger_fails_the_next_takes_its_place() -> None:
    race = challenged(3, incumbent=2)
    run_failing(race, flat([0.0, 0.0, 0.5]), lambda task: task == Task(0, 3) and "failed")

    assert race.pair == [2, 1]
    assert race.answer == "replace"
    assert race.gain.scores == 8


def test_an_incumbent_alone_is_looked_at_and_kept() -> None:
    race = challenged(1)
    run(race, flat([0.5]))
    assert (race.answer, race.gain, race.ranking) == ("keep", None, [0])
    assert len(race.fresh_scores(0)) == 8


def test_where_everybody_fails_there_is_neither_answer_nor_winner() -> None:
    race = challenged(2)
    run_failing(race, flat([0.0, 0.0]), lambda _: "failed")
    assert (race.answer, race.ranking) == (None, [])


def test_a_new_incumbent_is_seldom_named_where_nothing_is_gained() -> None:
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(400):
        race = challenged(5, incumbent=0, batches=8)
        run(race, lambda _: [{1: rng.normal()}])
        answers.append(race.answer)
    assert answers.count("replace") / 400 < 0.025 + 0.0235  # three standard errors
