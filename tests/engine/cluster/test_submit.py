"""Which attempt at a search a cluster is asked for."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.dashboard.modules.job.pydantic_models import JobDetails

from tune_jobs.engine import JobError, Profile
from tune_jobs.engine.cluster.submit.attempts import describe_attempt
from tune_jobs.engine.cluster.submit.submission import Submission, exit_code_of, next_attempt

WANTED = Submission("mine", ["job.py", "--name", "mine", "--resume"], Path("/somewhere"))


def known(status: str, code: int | None = None, submission: Submission = WANTED) -> JobDetails:
    return JobDetails(
        type="SUBMISSION",
        status=status,
        entrypoint=submission.entrypoint,
        metadata=submission.metadata,
        submission_id=submission.submission_id,
        driver_exit_code=code,
    )


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        ("PENDING", None, None),
        ("RUNNING", None, None),
        ("SUCCEEDED", 0, 0),
        ("FAILED", 3, 3),
        ("FAILED", 8, 8),
        ("FAILED", 15, 15),
        ("FAILED", 137, 1),
        ("FAILED", None, 1),
        ("STOPPED", None, 7),
    ],
)
def test_what_a_job_exited_with_is_what_a_run_would(status, code, exit_code) -> None:
    assert exit_code_of(known(status, code)) == exit_code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *[("PENDING", None), ("RUNNING", None), ("SUCCEEDED", 0)],
        *[("FAILED", 3), ("FAILED", 4), ("FAILED", 15)],
    ],
)
def test_one_that_lives_or_is_done_is_attached_to(status, code) -> None:
    assert next_attempt(WANTED, [known(status, code)]) is None


@pytest.mark.parametrize(
    ("status", "code"), [("FAILED", 1), ("FAILED", 6), ("FAILED", 137), ("STOPPED", None)]
)
def test_one_that_ended_early_gets_another_attempt(status, code) -> None:
    attempt = next_attempt(WANTED, [known("STOPPED"), known(status, code)])
    assert attempt is not None
    assert (attempt.submission_id, attempt.entrypoint) == ("mine-2", WANTED.entrypoint)


def test_other_options_are_another_attempt_once_the_search_has_ended() -> None:
    other = Submission("mine", [*WANTED.arguments, "--num-samples", "9"], Path("/somewhere"))
    attempt = next_attempt(other, [known("SUCCEEDED", 0)])
    assert attempt is not None
    assert attempt.attempt == 2
    with pytest.raises(JobError, match="'mine' is running on the cluster with other options"):
        next_attempt(other, [known("RUNNING")])


@given(st.text(st.sampled_from("abXY09_-./ ä\n"), max_size=90))
def test_every_id_is_one_that_the_jobs_api_runs(name) -> None:
    try:
        made = Submission(name, [], Path("/somewhere")).submission_id
    except JobError as error:
        assert "\n" not in str(error)
    else:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", made)


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), max_size=4))
def test_arguments_reach_the_command_as_they_are(words) -> None:
    split = shlex.split(Submission("mine", words, Path("/somewhere")).entrypoint)
    assert split == ["python", "-m", "tune_jobs", "run", *words]


def test_the_driver_reserves_nothing_and_a_stop_lets_it_save_its_state() -> None:
    request = WANTED.request()
    assert not [key for key in request if key.startswith("entrypoint_")]
    assert request["runtime_env"]["env_vars"]["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    assert int(request["runtime_env"]["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) >= 30
    assert all(isinstance(value, str) for value in request["metadata"].values())


def test_a_dry_run_shows_where_the_token_lies_and_not_the_token(tmp_path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("hush")
    profile = Profile("auto", "http://127.0.0.1:1", str(token_file), "/shared")
    line = WANTED.command(profile)
    assert f"RAY_AUTH_TOKEN_PATH={token_file} ray job submit" in line
    assert "hush" not in line
    assert line.endswith(f"-- {WANTED.entrypoint}")
    assert sys.executable not in line


def test_a_model_that_is_not_better_than_its_baselines_is_named() -> None:
    said = describe_attempt(known("FAILED", 15))
    assert f"{WANTED.experiment}  attempt 1, not better than the baseline, since " in said
