"""DAG files of Airflow: what is made passes, and each trap is caught at its line."""

import pytest

from tune_jobs.engine.recurring.files.rendering import render
from tune_jobs.engine.recurring.files.scheduled import ScheduledRun
from tune_jobs.engine.recurring.slots import parse_slots
from tune_jobs.lint.airflow import lint_airflow

SLOTS = parse_slots("daily@02:00", "Europe/Berlin")
RUN = ScheduledRun("breast_cancer_tpe", SLOTS, "nightly-{slot}")
DAG = render(RUN, "airflow")["nightly_dag.py"]
FIRED = "data_interval_end.in_timezone('Europe/Berlin').strftime('%Y-%m-%d')"
COMMAND, CALL, HEAD = 'cd "$HOME"', "BashOperator(", "with DAG("
TRAPS = {
    "syntax": ("max_active_runs=1,", "max_active_runs=,", None, "Python cannot read it"),
    "old": ('schedule="', 'schedule_interval="', None, "Airflow 3 has no schedule_interval"),
    "never": ('    schedule="0 2 * * *",\n', "", HEAD, "schedule is absent"),
    "cron": ('"0 2 * * *"', '"0 2 * * * *"', None, "has 6 fields, but cron wants 5"),
    "time": ('"0 2 * * *"', '"0 3 * * *"', COMMAND, "but it is started at 03:00"),
    "zone": ('1, tz="Europe/Berlin"', '1, tz="UTC"', COMMAND, "it is started by the clock of UTC"),
    "no zone": ('tz="Europe/Berlin"', 'tz="Europe/Berlim"', None, "did you mean 'Europe/Berlin'"),
    "site's zone": (', tz="Europe/Berlin"', "", "start_date", "start_date has no tz"),
    "catchup": ("catchup=False", "catchup=True", None, "catchup must be False"),
    "catchup by default": ("catchup=False,", "", HEAD, "catchup must be False"),
    "overlap": ("max_active_runs=1", "max_active_runs=2", None, "max_active_runs must be 1"),
    "endless": ("execution_timeout=", "timeout=", CALL, "execution_timeout is absent"),
    "short": ("minutes=315", "hours=5", COMMAND, "execution_timeout ends the run before"),
    "day before": (FIRED, "ds", COMMAND, "ds is the slot before in Airflow 2"),
    "secret": ("append_env=True", 'env={"API_KEY": "x"}', None, "API_KEY is written out"),
    "quotation": ("'nightly-", "nightly-", COMMAND, "no shell reads the command"),
    "unknown": ("--on-overlap", "--overlap", COMMAND, "no option '--overlap'"),
    "no DAG": ("with DAG(", "with Flow(", "#", "no DAG(...) is in it"),
}  # fmt: skip


def lint(folder, text):
    path = folder / "a_dag.py"
    path.write_text(text)
    return lint_airflow(path)


def test_a_dag_as_it_is_made_has_no_finding(tmp_path) -> None:
    assert lint(tmp_path, DAG) == []


@pytest.mark.parametrize("name", TRAPS)
def test_a_broken_dag_is_caught_at_its_line(name, tmp_path) -> None:
    old, new, at, message = TRAPS[name]
    head, sep, body = DAG.partition("\nfrom datetime")
    broken = head + sep + body.replace(old, new, 1)
    assert broken != DAG
    added = new.strip().splitlines()[-1] if at is None else at

    findings = lint(tmp_path, broken)

    places = [each.line for each in findings if message in each.text]
    assert places, [str(each) for each in findings]
    assert added in broken.splitlines()[places[0] - 1]


def test_a_timeout_may_stand_in_the_default_arguments(tmp_path) -> None:
    text = DAG.replace("        execution_timeout=timedelta(minutes=315),", "        #")
    text = text.replace('{"retries": 2', '{"execution_timeout": timedelta(hours=6), "retries": 2')

    assert lint(tmp_path, text) == []
