"""The report is there while a run lasts, and a report that cannot be written costs nothing."""

import logging
import time
from pathlib import Path

from tune_jobs.engine.report import refresh as refreshing
from tune_jobs.engine.report.refresh import refreshed_report


def test_the_report_is_written_while_the_run_lasts_and_at_its_end(make, monkeypatch) -> None:
    monkeypatch.setattr(refreshing, "INTERVAL", 0.1)
    folder = make.search("nightly", 5).folder
    page = Path(folder.path, "report.html")
    with refreshed_report(folder):
        for _ in range(600):
            if page.exists():
                break
            time.sleep(0.1)
        assert page.exists()
        page.unlink()
    assert "nightly" in page.read_text(encoding="utf-8")


def test_a_run_without_trials_leaves_no_report(make) -> None:
    folder = make.write("empty", []).folder
    with refreshed_report(folder):
        pass
    assert not folder.exists("report.html")


def test_a_report_that_cannot_be_written_is_a_warning(make, caplog) -> None:
    folder = make.search("nightly", 5).folder
    Path(folder.path, "report.html").mkdir()
    with caplog.at_level(logging.WARNING), refreshed_report(folder):
        pass
    assert "the report could not be written" in caplog.text
