"""What a notebook shows of an experiment."""

import base64
import re
from html.parser import HTMLParser

import pytest

from tests.engine.report.test_report import WINNER
from tune_jobs.engine import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.report import write_report
from tune_jobs.engine.storage.folder import open_folder


def text_of(html: str) -> str:
    """The text that a reader sees, in one line."""
    parser, found = HTMLParser(), list[str]()
    parser.handle_data = found.append  # type: ignore[method-assign]
    parser.feed(html)
    return " ".join(" ".join(found).split())


def picture_in(html: str) -> str:
    (content,) = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)
    return base64.b64decode(content).decode()


def test_a_cell_shows_the_best_value_the_history_the_config_and_the_report(make, monkeypatch):
    experiment = make.search("forty", 40)
    monkeypatch.chdir(make.place)
    before = experiment._repr_html_()
    write_report([experiment])
    html = experiment._repr_html_()
    best = experiment.best

    assert f"{best.value:.4g} val_loss of trial {best.trial} at epoch {best.epoch}" in text_of(html)
    assert "Configuration of trial" in text_of(html)
    assert "learning_rate" in text_of(html)
    assert "Optimisation history: val_loss, lower is better" in picture_in(html)
    assert 'href="forty/report.html"' in html
    assert "href" not in before  # there was no report yet


def test_a_cell_shows_the_interval_of_the_winner(make):
    html = make.search("won", 40, summary={"winner": WINNER})._repr_html_()

    said = "0.131 val_loss of trial 2, mean of 8 fresh scores, 95% CI 0.11 to 0.15"
    assert said in text_of(html)
    assert "Finalists on fresh seeds" in picture_in(html)


def test_a_strangers_texts_are_inert_in_a_cell(make):
    bad = "<script>alert(1)</script>"
    records = make.trial(1, {"learning_rate": 0.1, bad: bad}, [[0.5]])
    experiment = make.write("bad", records, metric="val_loss", summary={"warnings": [bad]})

    html = experiment._repr_html_()

    assert bad not in html
    assert text_of(html).count(bad) >= 2


def test_an_experiment_that_is_not_there_or_has_no_value_has_no_chart(make):
    nothing = Experiment(open_folder(make.place / "gone"))
    empty = make.write("empty", [])

    assert nothing._repr_html_() is None
    assert "No result" in text_of(empty._repr_html_())
    for plot in (empty.plot_history, empty.plot_importance, empty.plot_slices):
        with pytest.raises(JobError, match=r"too few trials of .*empty have a value of val_loss"):
            plot()


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("plot_history", "Optimisation history"),
        ("plot_importance", "What mattered"),
        ("plot_slices", "learning_rate"),
    ],
)
def test_a_chart_is_shown_as_html_or_as_png_and_saved(make, name, title, tmp_path):
    plot = getattr(make.search("forty", 40), name)()
    shown = plot._repr_mimebundle_()

    assert title in picture_in(shown["text/html"])
    assert title in shown["text/plain"]
    assert base64.b64decode(shown["image/png"]).startswith(b"\x89PNG")
    assert "<style" not in shown["text/html"]  # its looks stay inside the picture
    plot.save(tmp_path / "chart.svg")
    assert (tmp_path / "chart.svg").read_text() == plot.svg
    with pytest.raises(JobError, match=r"saved as .svg or .png, not as 'chart.gif'"):
        plot.save(tmp_path / "chart.gif")
