"""Finals on Ray: the best trials are trained again, and the winner comes from that alone."""

import json
import os
import pathlib
import signal
import sys
from dataclasses import replace

import pytest
from ray import cloudpickle, tune

from tune_jobs.engine import ASHA, Finalists, Job, JobError, Profile, run
from tune_jobs.engine.experiments.history.records import Event, FinalsStart, TrialEnd
from tune_jobs.engine.views.show import lines

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def train(config: dict, data: object) -> None:
    """A loss of x; in the search, whose seed is the lucky one, the larger ones look better."""
    is_search = config["seed"] == config["lucky"] or not config["lucky"]
    with pathlib.Path(config["log"]).open("a") as log:
        log.write(f"{config['x']} {config['seed']}\n")
    if config["x"] == config["broken"] and not is_search:
        raise RuntimeError("no such layer")
    for epoch in range(1, config["max_epochs"] + 1):
        noise = config["seed"] % 100 / 1000
        loss = 1 - config["x"] if is_search else config["x"] + noise
        tune.report({"loss": loss + abs(epoch - 2)})


@pytest.fixture
def job(tmp_path) -> Job:
    return make_job(tmp_path)


def make_job(tmp_path: pathlib.Path) -> Job:
    space = {"x": tune.grid_search([0.1, 0.2, 0.3, 0.4]), "log": str(tmp_path / "log")}
    job = Job(train, {**space, "lucky": 0, "broken": None}, metric="loss", max_epochs=3)

    lucky = job.constants(None)["seed"]
    return replace(
        job,
        space={**job.space, "lucky": lucky},
        num_samples=1,
        scheduler=ASHA(grace_period=1),
        finalists=Finalists(count=3, scores=2),
    )


@pytest.fixture
def profile(local_ray, tmp_path) -> Profile:
    return make_profile(tmp_path)


def make_profile(tmp_path: pathlib.Path) -> Profile:
    return Profile(storage=str(tmp_path / "results"), max_concurrent_trials=1)


@pytest.fixture(scope="module")
def ended(local_ray, tmp_path_factory):
    """A job whose search and finals came to their end, its profile and its experiment."""
    place = tmp_path_factory.mktemp("ended")
    job, profile = make_job(place), make_profile(place)
    return job, profile, search(job, profile)


def search(job: Job, profile: Profile, listeners=(), **options):
    return run(job, profile=profile, name="test", listeners=list(listeners), **options)


def fits(job: Job) -> list[str]:
    return pathlib.Path(job.space["log"]).read_text().splitlines()


def test_the_winner_comes_from_fresh_scores_and_not_from_lucky_ones(ended) -> None:
    _, _, result = ended
    verdict = result.verdict

    assert result.exit_code == 0
    assert [finalist.config["x"] for finalist in verdict.finalists] == [0.4, 0.3, 0.2]
    assert verdict.config["x"] == result.best_config["x"] == 0.2
    assert json.loads(result.folder.read("best_config.json"))["x"] == 0.2
    assert verdict.epochs == 2
    assert 0.2 <= verdict.mean < 0.3
    assert verdict.luck == pytest.approx(verdict.mean - 0.8)
    assert verdict.runner_up.gap == pytest.approx(0.1)  # paired: the noise cancels out
    assert verdict.is_distinguished


def test_finalists_get_seeds_that_no_other_fit_had_the_same_for_all(ended) -> None:
    job, _, _ = ended
    seeds: dict[str, list[str]] = {}
    for fit in fits(job)[4:]:
        x, seed = fit.split()
        seeds.setdefault(x, []).append(seed)

    assert str(job.space["lucky"]) not in {seed for each in seeds.values() for seed in each}
    assert len(set(seeds["0.2"])) == len(seeds["0.2"]) == 4
    assert set(seeds["0.4"]) <= set(seeds["0.2"])


def test_what_is_said_names_winner_runner_up_and_luck(ended) -> None:
    text = "\n".join(lines(ended[2], short=True))
    assert "winner      trial 2, 2 epochs" in text
    assert "runner-up   trial 3, significantly worse (gap 0.1" in text


def test_finals_that_were_cut_off_go_on_where_they_were(job, profile) -> None:
    starts, ended = [], []

    def interrupt(record: Event | None) -> None:
        if isinstance(record, FinalsStart):
            starts.append(record)
        elif isinstance(record, TrialEnd) and starts:
            ended.append(record)
            if len(ended) == 3:
                os.kill(os.getpid(), signal.SIGINT)

    cut_off = search(job, profile, [interrupt])
    assert cut_off.exit_code == 7
    assert cut_off.verdict is None
    assert "the finals ended early: interrupted" in cut_off.summary.no_winner
    result = search(job, profile, resume=True)

    assert result.exit_code == 0
    assert result.verdict.config["x"] == 0.2
    done = [f"{record.trial}" for record in ended]
    assert len(done) < len(fits(job))
    repeated = len(fits(job)) - len(set(fits(job)))
    assert repeated <= 2  # those that were running when the signal came


def test_a_run_that_is_done_is_not_done_again(ended) -> None:
    job, profile, _ = ended
    before = fits(job)
    assert search(job, profile, resume=True).verdict.config["x"] == 0.2
    assert fits(job) == before


def test_a_search_that_goes_on_trains_only_what_has_no_fresh_scores_yet(job, profile) -> None:
    few = {**job.space, "x": tune.grid_search([0.1, 0.2])}
    assert search(replace(job, space=few), profile).verdict.config["x"] == 0.1
    result = search(job, profile, resume=True)

    assert {finalist.config["x"] for finalist in result.verdict.finalists} == {0.4, 0.3, 0.2}
    assert result.verdict.config["x"] == 0.2
    assert len(fits(job)) == len(set(fits(job)))


def test_an_earlier_verdict_stands_until_there_is_another(job, profile) -> None:
    few = {**job.space, "x": tune.grid_search([0.1, 0.2])}
    search(replace(job, space=few), profile)

    def interrupt(record: Event | None) -> None:
        if isinstance(record, FinalsStart):
            interrupting.append(1)
        elif interrupting and isinstance(record, TrialEnd):
            interrupting.clear()
            os.kill(os.getpid(), signal.SIGINT)

    interrupting: list[int] = []

    cut_off = search(job, profile, [interrupt], resume=True)
    assert cut_off.exit_code == 7
    assert cut_off.best_config["x"] == cut_off.verdict.config["x"] == 0.1
    said = "\n".join(lines(cut_off, short=True))
    assert "this verdict is from an earlier run; the last run produced none" in said


def test_a_finalist_that_fails_is_out_and_named(job, profile) -> None:
    job = replace(job, space={**job.space, "broken": 0.2})
    verdict = search(job, profile).verdict

    assert verdict.config["x"] == 0.3
    failures = {f.config["x"]: f.failure for f in verdict.finalists}
    assert failures == {0.4: None, 0.3: None, 0.2: "RuntimeError: no such layer"}


def test_where_all_finalists_fail_the_search_keeps_its_best(job, profile) -> None:
    job = replace(job, space={**job.space, "x": tune.grid_search([0.2]), "broken": 0.2})
    result = search(job, profile)

    assert result.exit_code == 0
    assert result.verdict is None
    assert "every finalist failed: RuntimeError: no such layer" in result.summary.no_winner
    assert result.best_config["x"] == 0.2


def test_without_finalists_the_best_trial_is_what_it_was(job, profile) -> None:
    result = search(replace(job, finalists=None), profile)
    assert result.verdict is None
    assert result.best_config["x"] == 0.4
    assert len(fits(job)) == 4


@pytest.mark.slow
def test_fresh_scores_do_not_count_any_more_after_the_budget_was_raised(job, profile) -> None:
    search(job, profile)
    longer = search(replace(job, max_epochs=4), profile, resume=True)
    assert {f.epochs for f in longer.verdict.finalists} == {2}
    epochs = longer.folder.child("finalists")
    from tune_jobs.engine import open_experiment

    assert open_experiment(epochs.uri).epochs["epoch"].max() == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "Finalists: count is 0, but must be an integer >= 1"),
        ({"scores": 1}, "Finalists: scores is 1, but must be an integer from 2 to 1,000"),
        (
            {"scores": 2**31},
            "Finalists: scores is 2147483648, but must be an integer from 2 to 1,000",
        ),
        ({"level": 1.0}, "Finalists: level is 1.0, but must be at least 0.5 and below 1"),
    ],
)
def test_finalists_that_make_no_sense_are_refused(options, message) -> None:
    with pytest.raises(JobError) as refused:
        Finalists(**options)
    assert str(refused.value) == message
