"""Retests on a real Ray, of arithmetic trainables whose truth is known."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tune_jobs.cli.main import main
from tune_jobs.engine import open_experiment
from tune_jobs.engine.runs.retest import Challenge, retest_job
from tune_jobs.engine.runs.retest_answers import read_answers
from tune_jobs.engine.storage.folder import open_folder

pytestmark = pytest.mark.usefixtures("local_ray")
DAY = "2026-11-28"

# The best x is in a file, and those near it are as good; the noise of a fit is that of its seed,
# and a little of its own.
JOB = """
import pathlib
import random

from ray import tune

from tune_jobs.engine import Finalists, Job, RandomSearch


def train(config, data):
    best, level, broken = map(float, pathlib.Path("TRUTH").read_text().split())
    if abs(config["x"] - broken) < 1e-9:
        raise ValueError("no such x today")
    own = random.Random(str([config["seed"], config["x"]])).gauss(0, 0.01)
    noise = random.Random(config["seed"]).gauss(0, 0.1) + own
    distance = max(0, abs(config["x"] - best) - 0.15)
    tune.report({"loss": level + distance**2 + noise})


JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss", num_samples=8, max_epochs=1,
          searcher=RandomSearch(),
          finalists=Finalists(count=2, scores=4))
"""


@pytest.fixture(scope="module")
def ended(local_ray, tmp_path_factory) -> Path:
    """A folder with the job and an experiment `spring`, whose truth was x = 0.2."""
    folder = tmp_path_factory.mktemp("ended")
    (folder / "job.py").write_text(JOB.replace("TRUTH", str(folder / "truth")))
    (folder / "truth").write_text("0.2 1.0 -1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ran = CliRunner().invoke(main, ["run", "job.py", "--name", "spring"])
    assert ran.exit_code == 0, ran.output
    return folder


def enter(ended: Path, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the current folder."""
    shutil.copytree(ended, folder)
    (folder / "job.py").write_text(JOB.replace("TRUTH", str(folder / "truth")))
    patch.chdir(folder)
    return folder


@pytest.fixture
def here(ended, tmp_path, monkeypatch) -> Path:
    return enter(ended, tmp_path / "here", monkeypatch)


@pytest.fixture(scope="module")
def moved(ended, tmp_path_factory):
    """A copy in which the truth has moved, and what a retest has answered there."""
    with pytest.MonkeyPatch.context() as patch:
        place = enter(ended, tmp_path_factory.mktemp("moved") / "here", patch)
        return place, retest(place, "0.9 1.0 -1", "--slot", DAY)


def retest(here: Path, truth: str, *options: str) -> tuple[int, dict]:
    (here / "truth").write_text(truth)
    words = ["retest", "spring", "--job", "job.py", "--scores", "4", "--finalists", "2"]
    words += ["--allow-changed", "--exit-verdict", "--json", *options]
    ran = CliRunner().invoke(main, words, catch_exceptions=False)
    found = json.loads(ran.stdout) if ran.stdout else {"error": ran.stderr}
    return ran.exit_code, found


def incumbent(here: Path) -> float:
    return open_experiment(str(here / "results/spring")).best_config["x"]


def test_where_nothing_has_changed_the_incumbent_is_kept(here) -> None:
    code, found = retest(here, "0.2 1.0 -1", "--name", "again")
    answer = found["answer"]

    assert (code, answer["answer"]) == (0, "keep")
    assert answer["incumbent"]["config"]["x"] == incumbent(here)
    assert answer["challenge"]["scores"] == 4
    assert not answer["fall"]["is_worse"]
    trials = open_experiment(str(here / "results/again")).trials
    assert trials["config.x"].iloc[0] == incumbent(here)  # tried first


def test_an_edit_of_the_trainable_is_warned_of_at_the_start(here, ended, caplog) -> None:
    words = ["retest", "spring", "--job", "job.py", "--only-incumbent", "--scores", "2", "--name"]
    warned = "since spring, the trainable's code changed, so its scores of then may differ"
    edited = CliRunner().invoke(main, [*words, "edited"], catch_exceptions=False)
    assert sum(record.message.startswith(warned) for record in caplog.records) == 1
    caplog.clear()
    Path("job.py").write_text(JOB.replace("TRUTH", str(ended / "truth")) + "# a comment\n")
    same = CliRunner().invoke(main, [*words, "same"], catch_exceptions=False)

    assert "since spring" not in caplog.text
    assert (edited.exit_code, same.exit_code) == (0, 0)


def test_only_whoever_gave_a_job_is_advised_to_leave_it_out(here) -> None:
    about = here / "results/spring/experiment.json"
    noted = json.loads(about.read_text())
    about.write_text(json.dumps(noted | {"command": noted["command"] | {"cwd": str(here)}}))
    words = ["--name", "spring", "--extend", "1"]
    left_out = CliRunner().invoke(main, ["run", *words], catch_exceptions=False)
    shutil.copy("job.py", "other.py")
    given = CliRunner().invoke(main, ["run", "other.py", *words], catch_exceptions=False)

    for ran in (left_out, given):
        assert ran.exit_code == 2
        assert (
            "error: new results cannot be compared with earlier ones: the trainable" in ran.stderr
        )
        assert "add --allow-changed to compare them anyway" in ran.stderr
    assert "leave out JOB" not in left_out.stderr
    assert "leave out JOB" in given.stderr


def test_where_the_truth_has_moved_a_challenger_replaces_it(moved) -> None:
    _, (code, found) = moved
    answer = found["answer"]

    assert (code, answer["answer"]) == (11, "replace")
    assert found["name"] == f"spring-retest-{DAY}"
    assert abs(answer["challenger"]["config"]["x"] - 0.9) < 0.2
    assert answer["challenge"]["interval"][0] > 0
    assert answer["fall"]["is_worse"]
    assert "the incumbent is worse than when it was chosen" in answer["reason"]
    assert found["winner"]["trial"] == answer["challenger"]["trial"]


def test_a_second_start_in_a_slot_reports_the_first(moved, monkeypatch) -> None:
    place, first = moved
    monkeypatch.chdir(place)
    second = retest(place, "0.1 1.0 -1", "--slot", DAY)  # whatever has changed since

    assert first == second


def test_a_retest_that_was_cut_off_before_its_answer_gives_it_when_it_is_started_again(
    moved, monkeypatch
) -> None:
    place, first = moved
    monkeypatch.chdir(place)
    name = f"spring-retest-{DAY}"
    (place / "results" / name / "retest.json").unlink()
    (place / f"results/.retests/spring/{name}.json").unlink()
    second = retest(place, "0.9 1.0 -1", "--slot", DAY)

    timeless = [{**found["answer"], "time": 0} for _, found in (first, second)]
    assert timeless[0] == timeless[1]


def test_a_retest_is_not_gone_on_with_as_a_run(moved, monkeypatch) -> None:
    monkeypatch.chdir(moved[0])
    ran = CliRunner().invoke(main, ["run", "--name", f"spring-retest-{DAY}", "--resume"])

    assert ran.exit_code == 2
    assert f"spring-retest-{DAY} is a retest; continue it with: tune-jobs retest " in ran.stderr


@pytest.mark.slow
def test_a_retest_that_goes_on_answers_anew(here) -> None:
    options = ("--slot", DAY, "--num-samples")
    _, first = retest(here, "0.9 1.0 -1", *options, "4")
    _, second = retest(here, "0.9 1.0 -1", *options, "20")

    assert len(second["all_trials"]) == 20
    assert second["answer"]["challenge"] == second["winner"]["challenge"]
    assert second["answer"]["time"] > first["answer"]["time"]


@pytest.mark.slow
def test_what_is_less_than_is_wanted_is_no_gain(here) -> None:
    code, found = retest(here, "0.9 1.0 -1", "--min-gain", "5")

    assert (code, found["answer"]["answer"]) == (0, "keep")
    assert "at least 5 is required" in found["answer"]["reason"]


def test_a_hint_that_is_no_proof_is_inconclusive(here) -> None:
    code, found = retest(here, "0.9 1.0 -1", "--level", "0.99999999")

    assert (code, found["answer"]["answer"]) == (12, "inconclusive")
    assert found["winner"]["trial"] == found["answer"]["incumbent"]["trial"]
    assert found["answer"]["reason"].endswith("which is not significant")


def test_an_incumbent_that_cannot_be_trained_any_more_is_replaced(here) -> None:
    code, found = retest(here, f"0.2 1.0 {incumbent(here)!r}")

    assert (code, found["answer"]["answer"]) == (11, "replace")
    assert "cannot be trained on this data (ValueError: no such x" in found["answer"]["reason"]


@pytest.mark.parametrize(
    ("truth", "code", "answer"), [("0.2 1.0 -1", 0, "keep"), ("0.2 2.0 -1", 13, "alarm")]
)
def test_the_cheap_mode_looks_at_the_incumbent_alone(here, truth, code, answer) -> None:
    ended, found = retest(here, truth, "--only-incumbent")

    assert (ended, found["answer"]["answer"]) == (code, answer)
    assert found["answer"]["challenge"] is None
    assert len(found["all_trials"]) == 1


@pytest.mark.slow
def test_answers_are_kept_and_a_promoted_challenger_is_the_next_incumbent(here) -> None:
    _, first = retest(here, "0.9 1.0 -1", "--name", "first", "--promote")
    _, second = retest(here, "0.9 1.0 -1", "--name", "second")

    promoted = first["answer"]["challenger"]
    assert second["answer"]["answer"] != "replace"
    assert second["answer"]["incumbent"]["config"] == promoted["config"]
    assert second["answer"]["fall"]["before"]["mean"] == pytest.approx(promoted["mean"])
    assert [each["name"] for each in second["answer"]["earlier"]] == ["first"]
    spring = open_experiment(str(here / "results/spring"))
    kept = read_answers(spring, open_folder(here / "results/.retests/spring"))
    assert [(each.name, each.answer) for each in kept] == [
        ("first", "replace"),
        ("second", second["answer"]["answer"]),
    ]
    assert spring.retest is None  # the experiment itself is left alone


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sprung"], "no experiment 'sprung' in results; did you mean 'spring'?"),
        (["spring", "--num-samples", "1"], "num_samples is 1, but must be at least 2"),
        (["spring", "--scores", "1"], "Finalists: scores is 1, but must be"),
        (["spring", "--level", "2"], "Finalists: level is 2.0, but must be"),
        (["spring", "--min-gain", "-1"], "Finalists: least_gain is -1.0, but must be >= 0"),
        (
            ["spring", "--set", "metric=error"],
            "spring has metric 'loss', but the job has 'error'",
        ),
        (["spring", "--data", "x.parquet"], "--data does not apply: the job has no data set"),
        (["spring", "--resume"], "--resume needs --name, the experiment to continue or start"),
        (["spring", "--slot", "daily", "--name", "a"], "would be the same for every slot"),
    ],
)
def test_a_retest_that_cannot_be_is_one_line(here, words, said) -> None:
    ran = CliRunner().invoke(main, ["retest", *words], catch_exceptions=False)

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert said in ran.stderr
    said_of_job = [line for line in ran.stderr.splitlines() if line.startswith("job: ")]
    assert len(ran.stderr.splitlines()) - len(said_of_job) == 1


def test_the_first_configs_of_a_retest_are_those_that_are_known_and_some_at_random(here) -> None:
    from tune_jobs.engine.job.modules import find_job

    spring = open_experiment(str(here / "results/spring"))
    job = retest_job(find_job("job.py").job, spring, spring.best_config, Challenge(samples=20))

    points = [point["x"] for point in job.points_to_evaluate]
    assert points[0] == incumbent(here)
    assert all(0 < abs(point - points[0]) <= 0.15 for point in points[1:5])  # its neighbours
    earlier = set(spring.trials["config.x"])
    assert len(earlier & set(points)) == 5  # the best four others of the search, and itself
    assert len(points) == 14
    assert (job.num_samples, job.finalists.incumbent) == (20, spring.best_config)
