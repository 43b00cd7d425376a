"""Files of schedulers that stand in a page: complete, sound, and they start what they should."""

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import jinja2
import pytest
import yaml

from tune_jobs.lint.linting import lint

ROOT = Path(__file__).parent.parent.parent
PAGES = ROOT / "docs" / "schedules"
STAND_IN = """#!/usr/bin/env python3
import json, os, sys
print(json.dumps([os.getcwd(), *sys.argv[1:]]))
"""
RUN = (
    *("run", "breast_cancer_tpe", "--name", "nightly-{slot}", "--slot", "2026-11-28"),
    *("--time-zone", "UTC", "--max-hours", "5", "--on-overlap", "skip"),
)


def file_in(page: str) -> str:
    """The complete file in a page, which is its longest block of code."""
    text = (PAGES / page).read_text()
    return max(re.findall(r"```(?:yaml|python)\n(.*?)```", text, re.DOTALL), key=len)


@pytest.fixture
def clone(tmp_path) -> Path:
    """A home folder with a clone, in which tune-jobs prints what it was given."""
    program = tmp_path / "tune-jobs" / ".venv" / "bin" / "tune-jobs"
    program.parent.mkdir(parents=True)
    program.write_text(STAND_IN)
    program.chmod(0o755)
    return tmp_path / "tune-jobs"


def printed_by(script: str, folder: Path, **environment: str) -> list[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder.parent), **environment}
    ran = subprocess.run(
        ["bash", "-ec", script], env=environment, cwd=folder, capture_output=True, check=True
    )
    return json.loads(ran.stdout)


@pytest.mark.parametrize(
    ("page", "name", "commands"),
    [
        ("github.md", "nightly.yaml", 1),
        ("airflow.md", "nightly_dag.py", 1),
        ("kubernetes.md", "raycronjob_nightly.yaml", None),
    ],
)
def test_the_file_in_a_page_has_no_finding(page, name, commands, tmp_path, known) -> None:
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (tmp_path / name).write_text(file_in(page))

    (checked,) = lint([tmp_path / name], known)

    assert [str(each) for each in checked.findings] == []
    assert checked.commands == commands
    (tmp_path / name).write_text(file_in(page).replace("--on-overlap", "--overlap"))
    assert "no option '--overlap'" in str(lint([tmp_path / name], known)[0].findings)


def test_the_workflow_runs_the_slot_that_was_asked_for(clone) -> None:
    workflow = yaml.safe_load(file_in("github.md"))
    job = workflow["jobs"]["search"]
    (search,) = (step for step in job["steps"] if step.get("name") == "Search")

    assert printed_by(search["run"], clone, SLOT="2026-11-28") == [str(clone), *RUN]
    assert printed_by(search["run"], clone, SLOT="")[6] == "daily@02:00"
    assert workflow[True]["schedule"] == [{"cron": "0 2 * * *"}]  # `on` is true to YAML
    assert 5 * 60 < search["timeout-minutes"] < job["timeout-minutes"] < 360
    assert search["env"] == {"SLOT": "${{ inputs.slot }}"}
    assert workflow["permissions"] == {"contents": "read"}


class Moment(datetime):
    """Airflow's moments know a time zone by its name."""

    def in_timezone(self, name: str) -> datetime:
        return self.astimezone(ZoneInfo(name))


@pytest.mark.parametrize(("kind", "slot"), [("scheduled", "2026-11-28"), ("manual", "daily@02:00")])
def test_the_dag_runs_the_slot_of_the_day_on_which_it_starts(kind, slot, clone) -> None:
    text = file_in("airflow.md")
    compile(text, "nightly_dag.py", "exec")
    script = re.search(r'SEARCH = r"""(.*?)"""', text, re.DOTALL)[1]
    fired = Moment(2026, 11, 28, 2, tzinfo=UTC)

    command = jinja2.Template(script).render(dag_run={"run_type": kind}, data_interval_end=fired)

    expected = [slot if word == "2026-11-28" else word for word in RUN]
    assert printed_by(command, clone) == [str(clone), *expected]


def test_the_ray_cron_job_starts_the_same_search_as_the_cron_job_that_ships() -> None:
    nightly = ROOT / "cluster" / "kuberay" / "rayjob_nightly.yaml"
    ships = {each["kind"]: each for each in yaml.safe_load_all(nightly.read_text())}
    ours = {each["kind"]: each for each in yaml.safe_load_all(file_in("kubernetes.md"))}

    spec = ours["RayCronJob"]["spec"]
    assert spec["jobTemplate"] | {"suspend": True} == ships["RayJob"]["spec"]
    assert spec["schedule"] == ships["CronJob"]["spec"]["schedule"]
    assert ours["ConfigMap"] == ships["ConfigMap"]
