"""What a notebook shows of an experiment: its result as HTML, and single charts of the report."""

from tune_jobs.engine.report.notebook.plots import (
    Plot,
    plot_history,
    plot_importance,
    plot_slices,
)
from tune_jobs.engine.report.notebook.result import show_result

__all__ = ["Plot", "plot_history", "plot_importance", "plot_slices", "show_result"]
