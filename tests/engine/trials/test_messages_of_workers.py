"""What a kept worker is asked for a trial: few calls, and the same answers as Tune's own."""

from typing import Any

import pytest

from tune_jobs.engine.trials.warm_workers import Worker

LAST = {"training_iteration": 3}
ENDED = {"__duplicate__": True}


class Trainable:
    """A trainable of Tune, as far as a worker calls it; what it is given ends with each reset."""

    def __init__(self, *answers: dict[str, Any] | Exception, is_free: bool = True) -> None:
        self.answers, self.is_free = [*answers], is_free
        self.called: list[str] = []

    def train(self) -> dict[str, Any]:
        self.called.append("train")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def save(self) -> str:
        self.called.append("save")
        return f"saved after {len(self.called) - 1}"

    def reset(self, config: dict[str, Any], storage: object) -> bool:
        self.called.append(f"reset {config} {storage}")
        return self.is_free


def worker_with(*answers: Any, **options: Any) -> tuple[Worker, Trainable]:
    trainable, worker = Trainable(*answers, **options), Worker()
    worker.begin(lambda: trainable, {}, 3)
    return worker, trainable


def ask(worker: Worker, method: str, reset: Any = None) -> Any:
    return worker.call(method, (), {}, reset)


def test_the_end_of_a_trial_comes_with_its_last_epoch() -> None:
    worker, trainable = worker_with({"training_iteration": 2}, LAST, ENDED)

    assert ask(worker, "train") == {"training_iteration": 2}
    assert ask(worker, "train") == [LAST, ENDED]
    assert trainable.called == ["train"] * 3


def test_the_checkpoint_of_the_last_epoch_is_that_of_before_the_end() -> None:
    last = {**LAST, "should_checkpoint": True}
    worker, trainable = worker_with(last, ENDED)

    assert ask(worker, "train") == [last, ENDED]
    assert ask(worker, "save") == "saved after 1"
    assert trainable.called == ["train", "save", "train"]


def test_what_a_function_raises_after_its_last_epoch_costs_that_epoch_nothing() -> None:
    worker, _ = worker_with(LAST, ValueError("too late"))

    assert ask(worker, "train") == LAST
    with pytest.raises(ValueError, match="too late"):
        ask(worker, "train")


def test_a_function_that_reports_more_than_its_last_epoch_is_listened_to() -> None:
    more = {"training_iteration": 4}
    worker, _ = worker_with(LAST, more, ENDED)

    assert ask(worker, "train") == [LAST, more]
    assert ask(worker, "train") == ENDED


def test_the_next_trial_travels_with_its_first_call() -> None:
    worker, trainable = worker_with(LAST, ENDED, LAST, ENDED)
    ask(worker, "train")

    given = (({"x": 2},), {"storage": "here"})
    assert ask(worker, "train", given) == [LAST, ENDED]
    assert trainable.called == ["train", "train", "reset {'x': 2} here", "train", "train"]


def test_a_worker_in_which_the_last_trial_still_runs_takes_no_other() -> None:
    worker, _ = worker_with(is_free=False)

    with pytest.raises(RuntimeError, match="the function of the last trial still runs"):
        ask(worker, "train", (({},), {"storage": None}))
