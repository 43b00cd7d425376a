"""Charts of the report that a notebook shows, and that can be saved."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from markupsafe import Markup

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.formatting import count, visible
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.marks import Chart
from tune_jobs.engine.report.picture import as_png, draw_charts
from tune_jobs.engine.report.progress_charts import chart_history
from tune_jobs.engine.report.space_charts import SLICES, chart_importance, slices

WIDTH = 860


@dataclass(frozen=True, eq=False)
class Plot:
    """Charts as one picture: a notebook shows it, and ``save`` writes it to a file.

    Attributes:
        charts: from left to right, then downwards.
        across: how many stand side by side.
        heading: a line above them.
    """

    charts: Sequence[Chart]
    across: int = 1
    heading: str = ""

    @cached_property
    def svg(self) -> str:
        """The picture as SVG."""
        charts = [_with_y_title(chart) for chart in self.charts]
        return str(draw_charts(charts, width=WIDTH, across=self.across, heading=self.heading))

    @property
    def png(self) -> bytes:
        """The picture as PNG."""
        return as_png(self.svg)

    @property
    def words(self) -> str:
        """The same in words."""
        return "\n".join(f"{visible(c.title)}. {visible(c.words)}" for c in self.charts)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to a file that ends in ``.svg`` or ``.png``.

        Raises:
            JobError: if it ends in something else.
        """
        file = Path(path)
        if file.suffix not in (".svg", ".png"):
            raise JobError(f"a chart is saved as .svg or .png, not as {file.name!r}")
        file.write_bytes(self.png if file.suffix == ".png" else self.svg.encode())

    def __html__(self) -> Markup:
        """Return the picture for a page, apart from the page's styles."""
        picture = Markup(
            '<img alt="{}" style="max-width:100%;background:#fff;border-radius:6px" '
            'src="data:image/svg+xml;base64,{}">'
        )
        return picture.format(self.words, base64.b64encode(self.svg.encode()).decode())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:  # noqa: ARG002
        """Return what a notebook chooses from."""
        return {
            "text/html": str(self.__html__()),
            "image/png": base64.b64encode(self.png).decode(),
            "text/plain": self.words,
        }


def plot_history(experiment: Experiment) -> Plot:
    """Draw each trial's best value, in the order of trials, and the best so far.

    Raises:
        JobError: if no trial has a value.
    """
    return _plot(experiment, [chart_history(Findings(experiment))])


def plot_importance(experiment: Experiment) -> Plot:
    """Draw how much of the metric's variance each hyperparameter explains.

    Raises:
        JobError: if too few trials have a value.
    """
    return _plot(experiment, [chart_importance(Findings(experiment))])


def plot_slices(experiment: Experiment) -> Plot:
    """Draw each hyperparameter against the metric, the most important first.

    Raises:
        JobError: if no trial has a value.
    """
    findings = Findings(experiment)
    charts = [each.chart for each in slices(findings)[:SLICES]]
    after = count(findings.common_epoch, "epoch")
    heading = f"{findings.goal.words} after {after}, against each hyperparameter"
    if any(chart.marks[0].shapes for chart in charts):
        heading += "; shaded: where to search next"
    return _plot(experiment, charts, across=2, heading=f"{heading}; dark: trials of more epochs")


def _plot(
    experiment: Experiment, charts: Sequence[Chart | None], *, across: int = 1, heading: str = ""
) -> Plot:
    found = [chart for chart in charts if chart is not None]
    if not found:
        raise JobError(
            f"too few trials of {experiment.folder.uri} have a value of {experiment.goal.metric} "
            "for this chart"
        )
    return Plot(found, across, heading)


def _with_y_title(chart: Chart) -> Chart:
    """Add what the vertical axis shows to the title: a page has it in its caption."""
    return replace(chart, title=f"{chart.title}: {chart.y_title}") if chart.y_title else chart
