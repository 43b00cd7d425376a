"""Workflows of GitHub: the shipped one passes, and each trap is caught at its line."""

from pathlib import Path

import pytest

from tune_jobs.lint.workflow import lint_workflow

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "cluster" / "github" / "nightly.yaml"
RUN = "run: |"
TRAPS = {
    "key": ("concurrency:", "concurency:", None, "a workflow has no key 'concurency'"),
    "job's key": ("timeout-minutes: 330", "timeout: 330", None, "jobs.search has no key 'timeout'"),
    "step's key": ("run: make", "runs: make", None, "has no key 'runs'; did you mean 'run'"),
    "cron": ('"0 2 * * *"', '"0 2 * *"', None, "has 4 fields, but cron wants 5"),
    "sunday": ('"0 2 * * *"', '"0 2 * * 7"', None, "the day of the week is '7'"),
    "time": ('"0 2 * * *"', '"0 3 * * *"', RUN, "but it is started at 03:00"),
    "zone": ("     # UTC", "\n      timezone: Europe/Berlin", RUN, "by the clock of Europe/Berlin"),
    "no zone": ("     # UTC", "\n      timezone: Nowhere", "timezone", "timezone is 'Nowhere'"),
    "permissions": ("permissions:\n  contents: read\n", "", "name:", "permissions is absent"),
    "concurrency": ("concurrency:", "# concurrency:", "name:", "concurrency is absent"),
    "cancelled": ("in-progress: false", "in-progress: true", None, "ends the run that is there"),
    "default": ("    timeout-minutes: 330\n", "", "search:", "timeout-minutes is absent"),
    "too long": ("330", "400", None, "GitHub's own runners end a job after 360"),
    "step": ("timeout-minutes: 315", "timeout-minutes: 300", RUN, "300 of the step ends the run"),
    "no runner": ("    runs-on: ubuntu-24.04\n", "", "search:", "a job needs runs-on"),
    "branch": ("checkout@v5", "checkout@main", None, "may be another one tomorrow"),
    "secret": ("${{ secrets.TUNE_JOBS_NOTIFY }}", "x\n      API_KEY: a", None, "API_KEY is"),
    "injected": ("${SLOT:-daily@02:00}", "${{ inputs.slot }}", RUN, "hand it over in env"),
    "quotation": ("'nightly-", "nightly-", RUN, "no shell reads the script"),
    "budget": ("--max-hours 5", "--max-hours 6", RUN, "ends the run before --max-hours 6"),
    "unknown": ("--on-overlap", "--overlap", RUN, "no option '--overlap'"),
    "twice": ("permissions:", "name: a\npermissions:", "name: a", "name stands twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", TRAPS)
def test_a_broken_workflow_is_caught_at_its_line(name, tmp_path) -> None:
    old, new, at, message = TRAPS[name]
    head, sep, body = SHIPPED.read_text().partition("\nname:")
    path = tmp_path / "a.yaml"
    broken = head + (sep + body).replace(old, new, 1)
    if name == "concurrency":
        broken = broken.replace("  group:", "#").replace("  cancel-in", "#")
    assert broken != SHIPPED.read_text()
    path.write_text(broken)
    added = new.strip().splitlines()[-1] if at is None else at

    findings = lint_workflow(path)

    places = [each.line for each in findings if message in each.text]
    assert places, [str(each) for each in findings]
    lines = broken.splitlines()
    assert added in lines[places[0] - 1]


def test_the_shipped_workflow_has_no_finding() -> None:
    assert lint_workflow(SHIPPED) == []


def test_a_runner_of_ones_own_may_take_longer(tmp_path) -> None:
    text = SHIPPED.read_text().replace("330", "400")
    (tmp_path / "a.yaml").write_text(text.replace("ubuntu-24.04", "[self-hosted, linux]"))

    assert lint_workflow(tmp_path / "a.yaml") == []


@pytest.mark.parametrize(
    "content", ["a text\n", "- 1\n", "on: push\njobs: 1\n", "on: {schedule: 3}\n"]
)
def test_a_document_of_another_form_is_found_and_not_stumbled_over(tmp_path, content) -> None:
    (tmp_path / "a.yaml").write_text(content)

    assert lint_workflow(tmp_path / "a.yaml")
