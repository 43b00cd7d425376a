"""The files in an experiment that a run writes: all others there are the user's, and stay."""

from __future__ import annotations

import re

from tune_jobs.engine.experiments.files import (
    DESCRIPTION,
    EPOCHS_TABLE,
    EXPORTED,
    FINALISTS,
    HISTORY,
    MIRROR,
    RETEST,
    SUMMARY,
    TRIALS,
    TRIALS_TABLE,
    VERDICT,
)
from tune_jobs.engine.experiments.history.packing import NAME

# A folder in which a trainable has saved what it liked.
CHECKPOINT = r"[^/]+/checkpoint_\d+/.+"
# What Tune writes of a trial, and of all.
OF_A_TRIAL = (
    r"[^/]+/(?:error\.(?:txt|pkl)|params\.(?:json|pkl)|progress\.csv|result\.json"
    r"|trial_metadata\.json|events\.out\.tfevents\.[^/]+)"
)
OF_TUNE = (
    r"tuner\.pkl|trainable\.pkl|\.validate_storage_marker"
    r"|(?:experiment_state|search_gen_state|searcher-state|basic-variant-state)-[^/]+"
)
TRIAL_FILES = rf"{TRIALS}/(?:{CHECKPOINT}|{OF_A_TRIAL}|{OF_TUNE})"

SEGMENT = rf"{HISTORY}/(?:{MIRROR}/)?{NAME.pattern}"
NAMES = (DESCRIPTION, SUMMARY, VERDICT, RETEST, TRIALS_TABLE, EPOCHS_TABLE, *EXPORTED)
FILES = "|".join(map(re.escape, NAMES)) + r"|report(?:-with-.+)?\.(?:html|png)"
TRACKED = r"tensorboard/.*events\.out\.tfevents\.[^/]+|tensorboard/[^/]+/params\.(?:json|pkl)"

# A file that was written aside, and was never moved into place.
ASIDE = r"(?:\.tmp-[0-9a-f]{32})?"

OF_CHECKPOINTS = re.compile(rf"(?:{FINALISTS}/)?(?:{TRIAL_FILES})")
OF_A_RUN = re.compile(rf"(?:{FINALISTS}/)?(?:{TRIAL_FILES}|{SEGMENT}|{FILES}){ASIDE}|{TRACKED}")


def is_of_checkpoints(path: str) -> bool:
    """Return whether a run has written a file to continue its trials, by its path inside."""
    return OF_CHECKPOINTS.fullmatch(path) is not None


def is_of_a_run(path: str) -> bool:
    """Return whether a run has written a file, by its path inside the experiment."""
    return OF_A_RUN.fullmatch(path) is not None
