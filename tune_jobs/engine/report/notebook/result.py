"""Show the result of an experiment in a notebook: the report's first words, and a chart."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.files import REPORT
from tune_jobs.engine.formatting import visible
from tune_jobs.engine.report.finals_charts import chart_finalists
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.headline import make_headline, status
from tune_jobs.engine.report.notebook.plots import Plot
from tune_jobs.engine.report.progress_charts import chart_history
from tune_jobs.engine.report.tables import config_facts

SENTENCES = 3
SOFT = "opacity:.7"

# A notebook's own colours, light or dark: no rule is said that would reach beyond this.
RESULT = Markup(
    '<div style="max-width:860px;line-height:1.5">'
    '<div style="{soft}">{name}: {status}</div>'
    '<div style="margin:4px 0"><strong style="font-size:200%">{value}</strong> {value_of}</div>'
    "{warnings}{sentences}{tests}{charts}{config}"
    '<div style="margin-top:8px">{links}</div></div>'
)
WARNING = Markup('<div style="border-left:3px solid #e69f00;padding:2px 10px">{}</div>')
CELL = Markup('<td style="text-align:{}">{}</td>')


def show_result(experiment: Experiment) -> str:
    """Return the winner, its interval, the course of the search and the way to the report."""
    findings = Findings(experiment)
    first = make_headline(findings)
    table = [first.tests.heads, *first.tests.rows] if first.tests else []
    return str(
        RESULT.format(
            soft=SOFT,
            name=visible(findings.name),
            status=status(findings),
            value=first.value,
            value_of=first.value_of,
            warnings=_joined(WARNING.format(text) for text in first.warnings),
            sentences=_joined(
                Markup("<div>{}</div>").format(text) for text in first.sentences[:SENTENCES]
            ),
            tests=_table(table),
            charts=_charts(findings),
            config=_config(findings),
            links=_links(experiment),
        )
    )


def _charts(findings: Findings) -> Markup:
    found = [chart_finalists(findings), chart_history(findings)]
    charts = [chart for chart in found if chart is not None]
    if not charts:
        return Markup("")
    picture = Plot(charts).__html__()
    return Markup('<div style="margin:10px 0">{}</div>').format(picture)


def _config(findings: Findings) -> Markup:
    facts = config_facts(findings)
    if not facts:
        return Markup("")
    summary = Markup("<details><summary>Configuration of {}</summary>{}</details>")
    who = findings.chosen_as or "the winner"
    return summary.format(who, _table(facts))


def _table(rows: Sequence[Sequence[object]]) -> Markup:
    """Write a table whose first column has names."""
    if not rows:
        return Markup("")
    lines = (
        Markup("<tr>{}</tr>").format(
            _joined(CELL.format("right" if place else "left", each) for place, each in _cells(row))
        )
        for row in rows
    )
    return Markup('<table style="margin:8px 0">{}</table>').format(_joined(lines))


def _cells(row: Sequence[object]) -> Iterable[tuple[int, str]]:
    return enumerate(visible(str(each)) for each in row)


def _links(experiment: Experiment) -> Markup:
    """Link the report, if it is written and on this machine; name the folder."""
    folder = Markup('<span style="{}">{}</span>').format(SOFT, visible(experiment.folder.uri))
    local = experiment.folder.local_path
    if local is None or not experiment.folder.exists(REPORT):
        return folder
    place = Path(os.path.relpath(local / REPORT)).as_posix()
    link = Markup('<a href="{}" target="_blank">The report</a> &middot; {}')
    return link.format(place, folder)


def _joined(pieces: Iterable[Markup]) -> Markup:
    return Markup("").join(pieces)
