"""The names of the files and folders of an experiment, as ``results/README.md`` describes them."""

from __future__ import annotations

DESCRIPTION, SUMMARY, VERDICT, RETEST = (
    *("experiment.json", "summary.json", "verdict.json", "retest.json"),
)
HISTORY, MIRROR, LEASE = "history", "mirror", "lease"
TRIALS_TABLE, EPOCHS_TABLE = "trials.parquet", "epochs.parquet"
FINALISTS = "finalists"
MODEL, ENSEMBLE, CONFIG, REBUILD = (
    *("best.keras", "ensemble.keras", "best_config.json", "rebuild_best.py"),
)
EXPORTED = (MODEL, ENSEMBLE, CONFIG, REBUILD)
REPORT = "report.html"
TRIALS = "trials"  # Ray's own experiment

# Beside the experiments, hidden.
SERIES, RETESTS = ".series", ".retests"
INCUMBENT = "incumbent.json"  # of a retested experiment, in the folder of its answers
