"""Measure how much longer a search takes whose driver is killed at random, again and again.

    python -m benchmarks.kills --every 60

The same trials of short epochs, with a checkpoint every 2 s, 2 workers: once undisturbed, then
with a SIGKILL after 0.5 to 1.5 times ``--every`` seconds, and the same command with ``--resume``
at once, until the search has ended. The seconds count from the first start to the end, starts
included.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report

EPOCHS, SECONDS, CHECKPOINT_EVERY = 30, 0.4, 5


def train(config: dict[str, Any], data: object) -> None:
    """Train epochs that do nothing, each noted in a log, from the latest checkpoint on."""
    import pathlib
    import tempfile
    import time

    from ray import tune

    start = 0
    if checkpoint := tune.get_checkpoint():
        with checkpoint.as_directory() as folder:
            start = int(pathlib.Path(folder, "epoch").read_text())
    for epoch in range(start + 1, EPOCHS + 1):
        time.sleep(SECONDS)
        with pathlib.Path(config["log"]).open("a") as log:
            log.write(f"{config['x']!r} {epoch}\n")
        saved = None
        with tempfile.TemporaryDirectory() as folder:
            if epoch % CHECKPOINT_EVERY == 0:
                pathlib.Path(folder, "epoch").write_text(str(epoch))
                saved = tune.Checkpoint.from_directory(folder)
            tune.report({"loss": config["x"] + 1 / epoch}, checkpoint=saved)


def drive(folder: Path, trials: int) -> int:
    """Start or continue the search in this process; return its exit code."""
    from ray import tune

    from tune_jobs.engine import TPE, Job, Profile, run

    job = Job(
        train,
        {"x": tune.uniform(0, 1), "log": str(folder / "log")},
        metric="loss",
        searcher=TPE(),
        num_samples=trials,
        max_epochs=EPOCHS,
        finalists=None,
    )
    profile = Profile(storage=str(folder), max_concurrent_trials=2)
    ended = run(job, profile=profile, name="kills", resume=True, listeners=[])
    return 1 if ended.exit_code is None else ended.exit_code


def search(trials: int, every: float | None, seed: int) -> dict[str, float]:
    """Search until the end, with a kill about every so many seconds; return what it took."""
    folder, chance, began = Path(tempfile.mkdtemp()), random.Random(seed), time.monotonic()
    command = [sys.executable, "-m", "benchmarks.kills", "--drive", str(folder)]
    command += ["--trials", str(trials)]
    kills = 0
    while True:
        process = subprocess.Popen(command, start_new_session=True)
        try:
            code = process.wait(every and every * chance.uniform(0.5, 1.5))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            continue
        if code:
            raise SystemExit(f"the search ended with code {code}")
        break
    seconds = time.monotonic() - began
    lines = (folder / "log").read_text().splitlines()
    shutil.rmtree(folder, ignore_errors=True)
    again = len(lines) - len(set(lines))
    return {"kills": kills, "seconds": seconds, "epochs": len(set(lines)), "again": again}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--every", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    options = parser.parse_args()
    if options.drive:
        raise SystemExit(drive(options.drive, options.trials))
    rows = []
    for every in (None, options.every):
        rows.append({"kill every": every, **search(options.trials, every, options.seed)})
        print(rows[-1], flush=True)
    ratio = rows[1]["seconds"] / rows[0]["seconds"]
    frame = pd.DataFrame([{**row, "ratio": ratio} for row in rows])
    report.show("kills", list(frame.columns), frame.to_numpy().tolist())
    if options.out:
        report.save(frame, options.out)
    report.state()


if __name__ == "__main__":
    main()
