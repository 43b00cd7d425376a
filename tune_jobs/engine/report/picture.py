"""Render the report as one picture, for chats and CI: the verdict and four charts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from markupsafe import Markup

from tune_jobs.engine.formatting import columns_of, shortened, visible
from tune_jobs.engine.report.comparison_charts import chart_race
from tune_jobs.engine.report.findings import Findings
from tune_jobs.engine.report.headline import make_headline, status
from tune_jobs.engine.report.marks import Chart, swatch
from tune_jobs.engine.report.page import HERE
from tune_jobs.engine.report.progress_charts import chart_curves, chart_history
from tune_jobs.engine.report.side_by_side import compare
from tune_jobs.engine.report.space_charts import chart_importance
from tune_jobs.engine.report.work_charts import chart_timeline

WIDTH, EDGE, GAP, DEEP = 1200, 40, 48, 300
MARGIN = 12  # of charts alone
SCALE = 1.5
COLOURS = re.compile(r"(--\w[\w-]*): (#\w+)")
LETTER = 7.4


def render_picture(all_findings: Sequence[Findings]) -> bytes:
    """Render the picture as PNG, without a browser."""
    return as_png(_svg(all_findings))


def as_png(svg: str) -> bytes:
    """Render SVG as PNG, without a browser."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(str(svg), scale=SCALE))


def draw_charts(
    charts: Sequence[Chart], *, width: int, across: int = 1, heading: str = ""
) -> Markup:
    """Draw charts as SVG of a width in pixels, some side by side, below a line of text."""
    parts = list[Markup]()
    top = _write(parts, [heading] if heading else [], 24, "soft", edge=MARGIN, width=width)
    depth = _draw(parts, charts, top, width=width, edge=MARGIN, across=across) - 16
    return _frame(parts, width, depth)


def _svg(all_findings: Sequence[Findings]) -> Markup:
    parts, top = list[Markup](), 56.0
    if len(all_findings) > 1:
        top = _write(parts, compare(all_findings), top, "words")
        top = _draw(parts, [chart_race(all_findings)], top)
    for findings in all_findings:
        top = _head(parts, findings, top)
        top = _draw(parts, _charts(findings, few=len(all_findings) > 1), top)
    return _frame(parts, WIDTH, top)


def _frame(parts: Sequence[Markup], width: int, height: float) -> Markup:
    drawing = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}"><style>{2}</style>'
        '<rect width="{0}" height="{1}" fill="#fff"/>{3}</svg>'
    )
    return drawing.format(width, int(height), Markup(_style()), Markup("").join(parts))


def _head(parts: list[Markup], findings: Findings, top: float) -> float:
    first = make_headline(findings)
    top = _write(parts, [shortened(findings.name, 60)], top, "name", step=24)
    top = _write(parts, [status(findings)], top, "soft") + 34
    value = Markup('<text class="value" x="{}" y="{}">{}</text>')
    parts.append(value.format(EDGE, top, first.value))
    top = _write(parts, [first.value_of], top + 26, "words")
    return _write(parts, [*first.warnings, *first.sentences[:4]], top, "soft") + 16


def _charts(findings: Findings, *, few: bool) -> list[Chart | None]:
    charts = [chart_history(findings), chart_curves(findings)]
    return charts if few else [*charts, chart_importance(findings), chart_timeline(findings)]


def _draw(
    parts: list[Markup],
    charts: Sequence[Chart | None],
    top: float,
    *,
    width: int = WIDTH,
    edge: int = EDGE,
    across: int = 2,
) -> float:
    """Draw charts in rows, and return where they end."""
    there = [chart for chart in charts if chart]
    across = max(1, min(across, len(there)))
    wide = (width - 2 * edge - (across - 1) * GAP) / across
    for first in range(0, len(there), across):
        row = there[first : first + across]
        for place, chart in enumerate(row):
            left, below = edge + place * (wide + GAP), top + chart.depth(DEEP) + 12
            parts += [chart.picture(left, top, wide, DEEP), _legend(chart, left, below)]
        top += max(chart.depth(DEEP) for chart in row) + 48
    return top + 16


def _legend(chart: Chart, left: float, top: float) -> Markup:
    place = Markup(
        '<g transform="translate({},{})">{}</g><text class="soft" x="{}" y="{}">{}</text>'
    )
    found, at = Markup(""), left
    for look, text in chart.legend:
        label = shortened(text, 44)
        found += place.format(int(at), int(top), swatch(look), int(at + 19), int(top + 9), label)
        at += 32 + columns_of(label) * 7
    return found


def _write(
    parts: list[Markup],
    texts: Sequence[str],
    top: float,
    look: str,
    *,
    step: int = 21,
    edge: int = EDGE,
    width: int = WIDTH,
) -> float:
    """Write lines of text, broken at the edge of the picture."""
    line = Markup('<text class="{}" x="{}" y="{}">{}</text>')
    for text in texts:
        for words in _broken(visible(text), int((width - 2 * edge) / LETTER)):
            parts.append(line.format(look, edge, top, words))
            top += step
    return top


def _broken(text: str, most: int) -> list[str]:
    lines = [""]
    for word in text.split():
        fits = columns_of(lines[-1]) + columns_of(word) < most
        lines[-1:] = [f"{lines[-1]} {word}".strip()] if fits else [lines[-1], word[:most]]
    return [line for line in lines if line][:4]


def _style() -> str:
    """Return the page's looks of marks in light colours, spelled out for the renderer."""
    style = (HERE / "style.css").read_text(encoding="utf-8")
    light, dark = style.split("@media screen", 1)
    colours = dict(COLOURS.findall(light))
    start, end = dark.index("path {"), dark.index(".marked .halo")
    rules = re.sub(r"var\((--[\w-]+)\)", lambda match: colours[match[1]], dark[start:end])
    return rules + (
        "text{font:12px sans-serif;fill:#5b636d}"
        ".name{font:bold 26px sans-serif;fill:#1f2328}"
        ".value{font:bold 40px sans-serif;fill:#1f2328}"
        ".words{font:15px sans-serif;fill:#1f2328}.soft{font:13px sans-serif;fill:#5b636d}"
        ".title{font:bold 14px sans-serif;fill:#1f2328}"
    )
