"""The brackets of Hyperband: who waits, who trains further, and in which order."""

import math

import pytest

from tune_jobs.engine.names import trial_id
from tune_jobs.engine.search.promotion.brackets import Brackets, plan_brackets
from tune_jobs.engine.search.schedulers import Hyperband


def test_four_brackets_of_eight_epochs() -> None:
    plans = plan_brackets(8, 2)

    assert [plan.sizes for plan in plans] == [(8, 4, 2, 1), (4, 2, 1), (2, 1), (1,)]
    assert [plan.epochs for plan in plans] == [(1, 2, 4), (2, 4), (4,), ()]
    assert Hyperband(2, resume=True).sizes(8) == [8, 4, 2, 1]
    assert Hyperband(2, resume=True).rungs(8) == [1, 2, 4]


@pytest.mark.parametrize(("epochs", "factor", "sizes"), [(1, 3, [1]), (10, 3, [9, 3, 1])])
def test_budgets_that_are_no_power(epochs, factor, sizes) -> None:
    plans = plan_brackets(epochs, factor)

    assert [plan.sizes[0] for plan in plans] == sizes
    assert all(rung < epochs for plan in plans for rung in plan.epochs)


def enter(brackets: Brackets, epoch: int, losses: dict[int, float]) -> None:
    for number, loss in losses.items():
        brackets.enter(trial_id(number), epoch, loss)


def promote_all(brackets: Brackets) -> list[int]:
    found = []
    while name := brackets.next():
        brackets.waiting.pop(name)
        found.append(int(name))
    return found


def test_a_rung_waits_for_its_whole_bracket() -> None:
    brackets = Brackets(plan_brackets(4, 2))  # of 4, 2 and 1 trials
    enter(brackets, 1, {1: 0.4, 2: 0.3, 3: 0.2})
    assert brackets.next() is None  # the fourth may be better

    enter(brackets, 1, {4: 0.1})
    assert promote_all(brackets) == [4, 3]

    enter(brackets, 2, {4: 0.5})
    assert brackets.next() is None  # the third trial is still on its way
    enter(brackets, 2, {3: 0.6})
    assert promote_all(brackets) == [4]


def test_a_trial_that_failed_is_not_waited_for() -> None:
    brackets = Brackets(plan_brackets(4, 2))
    enter(brackets, 1, {1: 0.4, 2: 0.3, 3: 0.2})
    brackets.start(trial_id(4))
    assert brackets.next() is None
    brackets.leave(trial_id(4))
    assert promote_all(brackets) == [3, 2]


def test_trials_after_the_last_bracket_begin_with_the_first_again() -> None:
    brackets = Brackets(plan_brackets(4, 2))  # 7 trials
    assert brackets.enter(trial_id(5), 1, 0.1) is False  # its bracket begins with 2 epochs
    assert brackets.enter(trial_id(7), 2, 0.1) is False  # it is trained to the end
    assert brackets.enter(trial_id(8), 1, 0.1) is True


def test_a_bracket_that_is_not_filled_is_complete_once_no_more_trials_come() -> None:
    brackets = Brackets(plan_brackets(4, 2))
    enter(brackets, 1, {1: 0.4, 2: 0.3})
    assert brackets.next() is None
    brackets.complete()
    assert promote_all(brackets) == [2, 1]


def test_the_order_of_arrival_does_not_matter() -> None:
    results = []
    for order in ([1, 2, 3, 4], [4, 2, 1, 3]):
        brackets = Brackets(plan_brackets(4, 2))
        for number in order:
            enter(brackets, 1, {number: math.sin(number)})
        results.append(promote_all(brackets))

    assert results[0] == results[1]
