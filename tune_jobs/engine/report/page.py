"""Render the page: one self-contained file in which foreign text is inert.

Jinja escapes foreign text. In addition, the page allows only its own style and script, by their
hashes, and no requests: what slipped through would still not run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tune_jobs.engine.formatting import count, number, visible
from tune_jobs.engine.report import side_by_side, tables
from tune_jobs.engine.report.comparison_charts import chart_race
from tune_jobs.engine.report.finals_charts import (
    chart_finalists,
    on_test_charts,
    on_test_tables,
)
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.headline import make_headline, status
from tune_jobs.engine.report.marks import swatch
from tune_jobs.engine.report.progress_charts import chart_curves, chart_history
from tune_jobs.engine.report.space_charts import (
    SLICES,
    chart_importance,
    chart_parallel,
    say_interactions,
    slice_outliers,
    slices,
)
from tune_jobs.engine.report.work_charts import chart_timeline, chart_usage, usage_rows

HERE = Path(__file__).parent

# Seconds after which the page of a run that has not ended reloads itself.
REFRESH = 20


def render_page(all_findings: Sequence[Findings]) -> str:
    """Render the report of one experiment, or of several in one page."""
    style, script = _asset("style.css"), _asset("page.js")
    names = [visible(findings.name) for findings in all_findings]
    return (
        _environment()
        .get_template("template.html")
        .render(
            title=" and ".join(names),
            style=Markup(style),  # our own file
            script=Markup(script),  # our own file
            policy=_policy(style, script),
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            refresh=REFRESH if any(findings.summary is None for findings in all_findings) else 0,
            comparison=_comparison(all_findings) if len(all_findings) > 1 else None,
            experiments=[_sections(findings) for findings in all_findings],
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["swatch"] = swatch
    environment.filters["visible"] = visible
    return environment


def _sections(findings: Findings) -> dict[str, Any]:
    """Return what the template shows of one experiment, in its order."""
    all_slices = slices(findings)
    return {
        "id": f"e{findings.index}",
        "name": visible(findings.name),
        "status": status(findings),
        "is_running": findings.summary is None,
        "metric": visible(findings.goal.words),
        "thinned": _thinned(findings),
        "headline": make_headline(findings),
        "config": tables.config_facts(findings),
        "finalists": chart_finalists(findings),
        "trials": count(len(findings.trials), "trial"),
        "outliers": slice_outliers(findings) if all_slices else "",
        "on_test": on_test_charts(findings),
        "on_test_tables": on_test_tables(findings),
        "history": chart_history(findings),
        "curves": chart_curves(findings),
        "importance": chart_importance(findings),
        "about": visible(findings.importance.about) if findings.importance else "",
        "slices": all_slices[:SLICES],
        "more_slices": all_slices[SLICES:],
        "has_effects": any(not effect.is_noise for effect in findings.effects),
        "together": [visible(each) for each in say_interactions(findings)],
        "has_next": any(slice_.chart.marks[0].shapes for slice_ in all_slices),
        "common_epoch": count(findings.common_epoch, "epoch"),
        "searching": tables.searching_facts(findings),
        "rungs": tables.rung_table(findings),
        "timeline": chart_timeline(findings),
        "usage": chart_usage(findings),
        "usage_rows": usage_rows(findings),
        "useful": _useful(findings),
        "failures": tables.failure_table(findings),
        "parallel": chart_parallel(findings),
        "table": tables.trial_table(findings),
        "hidden_columns": max(0, len(findings.hyperparameters) - tables.COLUMNS),
        "configs": Markup(tables.configs_as_json(findings)),  # has no <
        "columns": tables.column_table(findings),
        "data": tables.data_sentences(findings),
        "provenance": tables.provenance(findings),
    }


def _comparison(all_findings: Sequence[Findings]) -> dict[str, Any]:
    return {
        "sentences": [visible(text) for text in side_by_side.compare(all_findings)],
        "chart": chart_race(all_findings),
        "table": side_by_side.comparison_table(all_findings),
        "differences": side_by_side.config_differences(all_findings),
    }


def _thinned(findings: Findings) -> str:
    shown, known = len(findings.shown), len(findings.trials)
    if shown == known:
        return ""
    return (
        f"Charts and table show {number(shown)} of {number(known)} trials: the best, and an even "
        "sample of the others. All of them are in trials.parquet."
    )


def _useful(findings: Findings) -> str:
    usage = findings.summary.usage if findings.summary else None
    if usage is None:
        return ""
    return f"{usage.useful:.0%} of the time of {count(usage.workers, 'worker')} was useful work."


def _asset(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8").strip()


def _policy(style: str, script: str) -> str:
    """Return the page's policy: its style, its script, an empty icon, nothing else."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"
