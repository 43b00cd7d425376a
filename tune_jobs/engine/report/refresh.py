"""Keep the report of an experiment up to date while it runs, and write it at its end."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tune_jobs.engine.errors import JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.lease import TakenError
from tune_jobs.engine.storage.folder import Folder

logger = logging.getLogger(__name__)

# Seconds between two reports; more if one takes long, so that they take a small share of a core.
INTERVAL, MOST_SHARE = 60.0, 0.05

# Renders the report of the experiment at a path or URI in another folder.
RENDER = """
import sys
from tune_jobs.engine.experiments.experiment import open_experiment
from tune_jobs.engine.report import write_report
from tune_jobs.engine.storage.folder import open_folder
write_report([open_experiment(sys.argv[1])], open_folder(sys.argv[2]))
"""


@contextmanager
def refreshed_report(folder: Folder) -> Iterator[None]:
    """Write an experiment's report once a minute during a block, and at its end.

    A separate process renders it at the lowest priority, since the driver has to hand out trials;
    the driver writes it, since it alone knows whether the experiment is still its own. A report
    that cannot be written is only a warning.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_refresh, args=(folder, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _write(folder)


def _refresh(folder: Folder, ended: threading.Event) -> None:
    pause = INTERVAL
    while not ended.wait(pause):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as aside:
            if not _render(folder, aside, ended):
                return
            with suppress(OSError, JobError):  # the run notices by itself
                _publish(Path(aside), folder)
        pause = max(INTERVAL, (time.monotonic() - began) / MOST_SHARE)


def _render(folder: Folder, aside: str, ended: threading.Event) -> bool:
    """Render a report in another process; return False if the run has ended meanwhile."""
    process = subprocess.Popen(
        [sys.executable, "-c", RENDER, folder.uri, aside],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for the run
    )
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, 19)
    while process.poll() is None:
        if ended.wait(0.2):
            process.kill()
            process.wait()
            return False
    return True


def _publish(aside: Path, folder: Folder) -> None:
    """Write a rendered report to the experiment, past its fence."""
    for path in sorted(aside.iterdir()):
        folder.write(path.name, path.read_bytes())


def _write(folder: Folder) -> None:
    from tune_jobs.engine.report import write_report

    experiment = Experiment(folder)
    try:
        if experiment.exists and not experiment.trials.empty:
            write_report([experiment])
    except TakenError:
        return  # the report is another run's now
    except Exception as error:  # noqa: BLE001  # whatever it is, the results are safe
        logger.warning(f"the report could not be written: {type(error).__name__}: {error}")
