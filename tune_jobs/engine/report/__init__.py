"""Report an experiment: one page for people, one picture for chats."""

from __future__ import annotations

from collections.abc import Sequence

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.page import render_page
from tune_jobs.engine.report.picture import render_picture
from tune_jobs.engine.storage.folder import Folder

NAME = "report"


def write_report(
    experiments: Sequence[Experiment], folder: Folder | None = None, name: str = NAME
) -> list[str]:
    """Write the report of one experiment, or of several in one, with what is known now.

    Args:
        experiments: the first one is reported first.
        folder: where to write it; the default is the first experiment's.
        name: the files' name, without extension.

    Returns:
        The URIs of the page and of the picture.

    Raises:
        JobError: if an experiment has no readable description.
    """
    if not experiments:
        raise ValueError("a report needs at least one experiment")
    place = folder or experiments[0].folder
    findings = [Findings(experiment, index) for index, experiment in enumerate(experiments)]
    contents = {
        f"{name}.html": _encode(findings),
        f"{name}.png": render_picture(findings),
    }
    for file, content in contents.items():
        place.write(file, content)
    return [place.child(file).uri for file in contents]


def make_page(experiments: Sequence[Experiment]) -> bytes:
    """Return the page of one experiment, or of several in one, with what is known now.

    Raises:
        JobError: if an experiment has no readable description.
    """
    return _encode([Findings(experiment, index) for index, experiment in enumerate(experiments)])


def _encode(findings: Sequence[Findings]) -> bytes:
    return render_page(findings).encode("utf-8", "replace")
