"""Draw charts: marks on two axes, as SVG that fits any width, or as a picture of fixed size.

Marks of one look are one path, so that a thousand trials cost a few elements. In a page a chart
stretches over the available width, while strokes keep theirs, and so do points, which are strokes
of length zero with round ends. Each piece of a path belongs to a trial, named in ``data-t``:
that is all the page's script needs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from markupsafe import Markup, escape

from tune_jobs.engine.formatting import columns_of, visible
from tune_jobs.engine.report.axes import Linear, Log, Tick

Kind = Literal["points", "lines", "areas"]
# Places on a chart: from the left and from the bottom, 0 to 1.
Shape = Sequence[tuple[float, float]]

UNITS = 1000
# Pixels: of a letter, and of the space above and below the plot of a picture.
LETTER, AROUND = 7.2, 52
# From this number of trials on their marks are smaller.
DENSE = 300
# The look of rings: points with a hole.
HOLLOW = "hollow"


@dataclass(frozen=True)
class Mark:
    """Shapes of one look; ``trials`` has the trial of each, or is empty.

    ``is_fixed`` if their places on the vertical axis stand for no values.
    """

    kind: Kind
    look: str
    shapes: Sequence[Shape]
    trials: Sequence[int] = ()
    is_fixed: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart: title, axes, marks, and the same in words for readers who cannot see it.

    Attributes:
        words: the text alternative.
        x_title, y_title: what the axes show, with units.
        x, y: the labelled places of the axes.
        marks: from back to front.
        legend: looks of marks and what they mean.
        notes: texts on the chart at a place: ``(x, y, text)``.
        height: in pixels.
        can_step: whether the keyboard moves from trial to trial.
        has_grid: whether lines extend from the labels of the vertical axis.
        aside: a remark below the chart, such as how many outliers are clipped.
        is_staggered: whether every second label of the horizontal axis stands lower, since they
            are long.
        scales: those between which the page can switch the vertical axis, the present one first.
    """

    title: str
    words: str
    x_title: str = ""
    y_title: str = ""
    x: Sequence[Tick] = ()
    y: Sequence[Tick] = ()
    marks: Sequence[Mark] = ()
    legend: Sequence[tuple[str, str]] = ()
    notes: Sequence[tuple[float, float, str]] = field(default=())
    height: int = 280
    can_step: bool = False
    has_grid: bool = True
    aside: str = ""
    is_staggered: bool = False
    scales: tuple[Linear | Log, Linear | Log] | None = None

    @property
    def switch(self) -> str:
        """What the vertical axis can be switched to; empty if it cannot."""
        if self.scales is None:
            return ""
        return "logarithmic" if isinstance(self.scales[1], Log) else "linear"

    @property
    def margin(self) -> int:
        """The pixels that the labels of the vertical axis take."""
        labels = [*self.y, *self._other_ticks]
        longest = max((columns_of(visible(text)) for _, text in labels), default=0)
        return int(longest * LETTER + 14) if longest else 0

    def __html__(self) -> str:
        """Draw the chart for a page, as wide as its place; the page adds the caption."""
        frame = Markup('<div class="frame"{}>{}{}{}</div>')
        focus = Markup(' tabindex="0" role="group" aria-label="{}"').format(
            f"{visible(self.title)}: arrow keys go from trial to trial, Enter keeps one marked"
        )
        return frame.format(
            focus if self.can_step else "", self._y_axis(), self._plot(), self._x_axis()
        )

    def depth(self, most: float) -> float:
        """Return the height of its picture in pixels, ``most`` at most."""
        return min(self.height + AROUND, most)

    def picture(self, left: float, top: float, width: float, height: float) -> Markup:
        """Draw the chart as part of a picture, at a place and of a size in pixels."""
        inner, deep = width - self.margin, self.depth(height) - AROUND
        part = Markup('<svg x="{}" y="{}" width="{}" height="{}" overflow="visible">{}</svg>')
        title = Markup('<text class="title" x="{}" y="{}">{}</text>')
        return Markup("").join(
            [
                title.format(left, top + 12, visible(self.title)),
                part.format(left, top + 24, self.margin, deep, self._y_labels(self.y)),
                part.format(
                    left + self.margin,
                    top + 24,
                    inner,
                    deep,
                    self._contents(inner, deep) + self._note_texts(),
                ),
                part.format(
                    left + self.margin, top + 24 + deep, inner, 28, self._x_labels(self.x_title)
                ),
            ]
        )

    def _plot(self) -> Markup:
        drawing = Markup(
            '<svg class="plot" viewBox="0 0 {0} {0}" preserveAspectRatio="none" height="{1}" '
            'role="img" aria-label="{2}"{4}>{3}<g class="marked"></g></svg>'
        )
        words = f"{visible(self.title)}. {visible(self.words)}"
        contents = self._other_grid() + self._contents(UNITS, UNITS)
        scales = (
            Markup(' data-scales="{}"').format(json.dumps([*map(_as_json, self.scales)]))
            if self.scales
            else ""
        )
        return drawing.format(UNITS, self.height, words, contents, scales) + (
            self._notes() if self.notes else ""
        )

    @property
    def _other_ticks(self) -> Sequence[Tick]:
        return self.scales[1].ticks(max(2, len(self.y))) if self.scales else ()

    def _other_grid(self) -> Markup:
        lines = [[(0.0, place), (1.0, place)] for place, _ in self._other_ticks]
        return (
            draw(Mark("lines", "grid other", lines, is_fixed=True), UNITS, UNITS)
            if lines
            else Markup("")
        )

    def _notes(self) -> Markup:
        return Markup('<svg class="notes" height="{}" aria-hidden="true">{}</svg>').format(
            self.height, self._note_texts()
        )

    def _note_texts(self) -> Markup:
        note = Markup('<text x="{}%" y="{}%" dx="5" dy="4">{}</text>')
        return Markup("").join(
            note.format(_short(100 * x), _short(100 - 100 * y), visible(text))
            for x, y, text in self.notes
        )

    def _contents(self, width: float, height: float) -> Markup:
        lines = [[(0, place), (1, place)] for place, _ in self.y]
        grid = [Mark("lines", "grid", lines, is_fixed=True)]
        marks = [*grid, *self.marks] if self.has_grid else self.marks
        drawn = Markup("").join(draw(mark, width, height) for mark in marks if mark.shapes)
        is_dense = sum(len(mark.trials) for mark in self.marks) > DENSE
        return Markup('<g class="dense">{}</g>').format(drawn) if is_dense else drawn

    def _y_axis(self) -> Markup:
        axis = Markup('<svg class="y{}" width="{}" height="{}" aria-hidden="true">{}</svg>')
        drawn = axis.format("", self.margin, self.height, self._y_labels(self.y))
        if self.scales:
            labels = self._y_labels(self._other_ticks)
            drawn += axis.format(" other", self.margin, self.height, labels)
        return drawn

    def _x_axis(self) -> Markup:
        axis = Markup('<svg class="x" height="{}" aria-hidden="true">{}</svg>')
        return axis.format(36 if self.is_staggered else 20, self._x_labels(""))

    def _y_labels(self, ticks: Sequence[Tick]) -> Markup:
        label = Markup('<text x="{}" y="{}%" dy="4" text-anchor="end">{}</text>')
        return Markup("").join(
            label.format(self.margin - 8, _short(100 - 100 * place), visible(text))
            for place, text in ticks
        )

    def _x_labels(self, title: str) -> Markup:
        label = Markup('<text x="{}%" y="{}" text-anchor="{}">{}</text>')
        rows = (15, 31) if self.is_staggered else (15, 15)
        labels = [
            label.format(_short(100 * place), rows[i % 2], _anchor(place), visible(text))
            for i, (place, text) in enumerate(self.x)
        ]
        if title:
            labels.append(Markup('<text class="soft" y="31">{}</text>').format(visible(title)))
        return Markup("").join(labels)


def draw(mark: Mark, width: float, height: float) -> Markup:
    """Draw a path with a piece for each shape."""
    pieces = "".join(_piece(mark.kind, shape, width, height) for shape in mark.shapes)
    trials = f' data-t="{" ".join(map(str, mark.trials))}"' if mark.trials else ""
    look = f"{mark.look} fixed" if mark.is_fixed else mark.look
    path = Markup('<path class="{} {}"{} d="{}"/>').format(
        mark.kind, look, Markup(trials), Markup(pieces)
    )
    if mark.look == HOLLOW:
        path += draw(Mark(mark.kind, "hole", mark.shapes), width, height)
    return path


def swatch(look: str) -> Markup:
    """Draw a small picture of a look, for legends."""
    kind, _, name = look.partition(" ")
    shapes: dict[str, Shape] = {
        "points": [(0.5, 0.5)],
        "lines": [(0.0, 0.5), (1.0, 0.5)],
        "areas": [(0.0, 0.1), (1.0, 0.1), (1.0, 0.9), (0.0, 0.9)],
    }
    mark = Mark(kind, name, [shapes[kind]])  # type: ignore[arg-type]  # the caller's three kinds
    svg = Markup('<svg class="swatch" width="14" height="10" aria-hidden="true">{}</svg>')
    return svg.format(draw(mark, 14, 10))


def box(left: float, right: float, bottom: float, top: float) -> Shape:
    """Return a rectangle."""
    return [(left, bottom), (right, bottom), (right, top), (left, top)]


def crosswise(place: float) -> Shape:
    """Return a line from bottom to top."""
    return [(place, 0.0), (place, 1.0)]


def escaped(texts: Iterable[str]) -> list[Markup]:
    """Make texts safe to show."""
    return [escape(visible(text)) for text in texts]


def _piece(kind: Kind, shape: Shape, width: float, height: float) -> str:
    places = [f"{_short(x * width)} {_short(height - y * height)}" for x, y in shape]
    if kind == "points":
        return f"M{places[0]}h0"
    return f"M{'L'.join(places)}{'z' if kind == 'areas' else ''}"


def _as_json(scale: Linear | Log) -> list[float | bool]:
    """Return the bounds of a scale, and whether it is logarithmic, for the page's script."""
    return [scale.low, scale.high, isinstance(scale, Log)]


def _short(value: float) -> str:
    """Round a coordinate to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def _anchor(place: float) -> str:
    return "start" if place < 0.03 else "end" if place > 0.97 else "middle"
