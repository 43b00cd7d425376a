"""Measure what is left of a search after its driver or its Ray is killed, or its files are damaged.

    python -m benchmarks.faults

The same 60 short trials under raw Ray Tune with HyperOpt (``Tuner.restore``) and under tune-jobs
(``--resume``), 2 workers. Each trial writes to a log when it has finished, which shows
which finished trials are lost and which are trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import report

TRIALS, EPOCHS = 60, 3
PATIENCE = 120  # seconds after which a driver is taken to hang


def train(config: dict[str, Any], data: object = None) -> None:
    """Train three short epochs, and write a line to the log."""
    import pathlib
    import time

    from ray import tune

    for epoch in range(1, EPOCHS + 1):
        time.sleep(0.1)
        tune.report({"loss": config["x"] + 1 / epoch})
    with pathlib.Path(config["log"]).open("a") as log:
        log.write(f"{config['x']!r}\n")


def search_ray(folder: Path, *, again: bool, extend: int = 0, seed: int = 0) -> list[float]:
    """Run or restore a plain Tuner; return the x of the trials that it knows as finished."""
    import ray
    from ray import tune
    from ray.tune.search.hyperopt import HyperOptSearch

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    if again:
        tuner = tune.Tuner.restore(str(folder / "ray"), trainable=train, restart_errored=True)
    else:
        tuner = tune.Tuner(
            train,
            param_space={"x": tune.uniform(0, 1), "log": str(folder / "log")},
            tune_config=tune.TuneConfig(
                metric="loss",
                mode="min",
                num_samples=TRIALS,
                search_alg=HyperOptSearch(random_state_seed=seed),
                max_concurrent_trials=2,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(name="ray", storage_path=str(folder), verbose=0),
        )
    if extend:
        raise SystemExit("Tuner.restore takes no number of trials")
    results = tuner.fit()
    return [r.config["x"] for r in results if (r.metrics or {}).get("training_iteration") == EPOCHS]


def search_tune_jobs(folder: Path, *, again: bool, extend: int = 0, seed: int = 0) -> list[float]:
    """Run or resume a job; return the x of the trials that it knows as finished."""
    from ray import tune

    from tune_jobs.engine import TPE, Job, JobError, Profile, run

    space = {"x": tune.uniform(0, 1), "log": str(folder / "log")}
    job = Job(
        train,
        space,
        metric="loss",
        searcher=TPE(),
        num_samples=TRIALS,
        max_epochs=EPOCHS,
        finalists=None,
        seed=seed,
    )
    try:
        ended = run(
            job,
            profile=Profile(storage=str(folder), max_concurrent_trials=2),
            name="tune_jobs",
            resume=again and not extend,
            extend=extend,
            listeners=[],
        )
    except JobError as error:
        raise SystemExit(error.exit_code) from None
    if ended.exit_code:
        raise SystemExit(ended.exit_code)
    found = ended.trials
    return [json.loads(c)["x"] for c in found[found["state"] == "complete"]["config"]]


CONTENDERS = {"raw Ray Tune": search_ray, "tune-jobs": search_tune_jobs}
FOLDERS = {"raw Ray Tune": "ray", "tune-jobs": "tune_jobs"}


class Driver:
    """A search in its own process."""

    def __init__(
        self, name: str, folder: Path, *, again: bool, extend: int = 0, seed: int = 0
    ) -> None:
        command = [sys.executable, "-m", "benchmarks.faults", "--contender", name]
        command += ["--folder", str(folder), "--extend", str(extend)]
        command += ["--seed", str(seed)]
        self.process = subprocess.Popen(
            [*command, *(["--again"] if again else [])],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.folder = folder

    def wait_for(self, finished: int) -> set[float]:
        """Wait for this many finished trials; return those trials."""
        while len(read_log(self.folder)) < finished and self.process.poll() is None:
            time.sleep(0.02)
        return set(read_log(self.folder))

    def kill_after(self, finished: int) -> set[float]:
        """Send SIGKILL after this many finished trials; return those trials."""
        done = self.wait_for(finished)
        self.process.kill()
        self.process.communicate()
        time.sleep(2)  # the workers notice that their driver is gone
        return done

    def how_it_ends(self) -> str:
        """Wait for its end; say after how many seconds, and with which exit code."""
        began = time.monotonic()
        try:
            self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            return f"hangs for {PATIENCE} s"
        return f"ends after {time.monotonic() - began:.0f} s with code {self.process.returncode}"

    def end(self) -> list[float] | str:
        """Return the trials that it knows as finished, or the error that ended it."""
        try:
            out, _ = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()
            return "hangs"
        if self.process.returncode:
            return "ends with an error"
        return json.loads(out.splitlines()[-1])


def read_log(folder: Path) -> list[float]:
    """Return the x of every trial that was trained to its end, once for each time."""
    path = folder / "log"
    return [float(line) for line in path.read_text().split()] if path.exists() else []


def kill_twice(name: str, folder: Path) -> str:
    """Send SIGKILL after 20 and after 40 finished trials."""
    first = Driver(name, folder, again=False).kill_after(20)
    second = Driver(name, folder, again=True).kill_after(40)
    known = Driver(name, folder, again=True).end()
    log = Counter(read_log(folder))
    twice = sum(count - 1 for count in log.values())
    if isinstance(known, str):
        return f"{known}; {twice} trained again"
    lost = len((first | second) - set(known))
    return f"{lost} of {len(first | second)} finished trials forgotten, {twice} trained again"


def damage(pattern: str, how: Callable[[Path], None]) -> Callable[[str, Path], str]:
    """Kill after 20 finished trials, damage the newest file of a kind, and continue."""

    def scenario(name: str, folder: Path) -> str:
        done = Driver(name, folder, again=False).kill_after(20)
        mine = PATTERNS[pattern][name]
        files = sorted(folder.glob(mine), key=lambda path: path.stat().st_mtime)
        if not files:
            return "has no such file"
        how(files[-1])
        known = Driver(name, folder, again=True).end()
        if isinstance(known, str):
            return known
        kept = len(done & set(known))
        again = sum(count - 1 for count in Counter(read_log(folder)).values())
        return f"{kept} of {len(done)} finished trials kept, {again} trained again"

    return scenario


def strike(blow: Callable[[int], None]) -> Callable[[str, Path], str]:
    """Do something to a driver's process after 20 finished trials, wait for its end, continue."""

    def scenario(name: str, folder: Path) -> str:
        driver = Driver(name, folder, again=False)
        done = driver.wait_for(20)
        parts = list_parts(driver.process.pid)
        blow(driver.process.pid)
        how = driver.how_it_ends()
        kill_left(parts)
        known = Driver(name, folder, again=True).end()
        if isinstance(known, str):
            return f"{how}; then {known}"
        return f"{how}; {len(done & set(known))} of {len(done)} finished trials kept"

    return scenario


def kill_part(name: str) -> Callable[[int], None]:
    """Return what kills the process of a driver's Ray whose name contains a word."""

    def kill(driver: int) -> None:
        for part in list_parts(driver):
            if name in part.name():
                part.kill()

    return kill


def list_parts(driver: int) -> list[Any]:
    """List the processes that a driver has started."""
    import ray  # noqa: F401, I001  # it brings psutil
    import psutil

    return list(psutil.Process(driver).children(recursive=True))


def kill_left(parts: list[Any]) -> None:
    """Kill the processes that still run: they would disturb the next search."""
    for part in parts:
        if part.is_running():
            part.kill()


def extend(name: str, folder: Path) -> str:
    """Run ten more trials of a finished experiment."""
    Driver(name, folder, again=False).end()
    known = Driver(name, folder, again=True, extend=10).end()
    return f"{len(known)} trials" if isinstance(known, list) else "not possible"


def suspend(name: str, folder: Path) -> str:
    """Suspend a driver after 20 finished trials, let another one finish, and wake the first."""
    first = Driver(name, folder, again=False)
    first.wait_for(20)
    first.process.send_signal(signal.SIGSTOP)
    for claim in folder.glob("tune_jobs/lease/*.json"):
        claim.unlink()  # as if it were of another machine, whose silence is waited for
    known = Driver(name, folder, again=True).end()
    before = read_files(folder / FOLDERS[name])
    first.process.send_signal(signal.SIGCONT)
    first.end()
    after = read_files(folder / FOLDERS[name])
    changed = len(before.items() ^ after.items())
    found = known if isinstance(known, str) else f"{len(known)} trials"
    return f"{found}; then {changed} files changed or added"


def mix(name: str, folder: Path) -> str:
    """Finish a search, copy the state of another one over its own, and continue it."""
    other = Path(tempfile.mkdtemp())
    Driver(name, folder, again=False).end()
    Driver(name, other, again=False, seed=7).end()
    pattern = PATTERNS["merged state"][name]
    own, foreign = (
        max(each.glob(pattern), key=lambda p: p.stat().st_mtime) for each in (folder, other)
    )
    shutil.copy(foreign, own)
    known = Driver(name, folder, again=True).end()
    theirs = set(read_log(other))
    shutil.rmtree(other, ignore_errors=True)
    if isinstance(known, str):
        return known
    return f"{len(set(known) & theirs)} of {len(known)} trials are the other's"


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the state of a search: all files but those of single trials and of claims."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    own = {str(path.relative_to(folder)): path for path in files}
    return {
        name: path.read_bytes()
        for name, path in own.items()
        if "/" not in name or name.startswith("history/")
    }


# What holds the state of the experiment, of the searcher, and the rest.
PATTERNS = {
    "state": {
        "raw Ray Tune": "ray/experiment_state-*.json",
        "tune-jobs": "tune_jobs/history/*.jsonl",
    },
    "searcher": {
        "raw Ray Tune": "ray/searcher-state-*.pkl",
        "tune-jobs": "tune_jobs/history/*.jsonl",
    },
    "merged state": {
        "raw Ray Tune": "ray/experiment_state-*.json",
        "tune-jobs": "tune_jobs/history/*.jsonl.gz",
    },
    "description": {"raw Ray Tune": "ray/tuner.pkl", "tune-jobs": "tune_jobs/experiment.json"},
}
SCENARIOS: dict[str, Callable[[str, Path], str]] = {
    "driver killed twice": kill_twice,
    "experiment's state truncated": damage("state", lambda path: _truncate(path)),
    "experiment's description deleted": damage("description", Path.unlink),
    "searcher's state truncated": damage("searcher", lambda path: _truncate(path)),
    "10 trials more when finished": extend,
    "SIGTERM to the process group": strike(lambda driver: os.killpg(driver, signal.SIGTERM)),
    "raylet killed": strike(kill_part("raylet")),
    "GCS killed": strike(kill_part("gcs_server")),
    "agent killed": strike(kill_part("RuntimeEnv")),
    "driver suspended and replaced": suspend,
    "another search's state copied": mix,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    for name, kind in (
        ("--contender", str),
        ("--folder", Path),
        ("--extend", int),
        ("--seed", int),
    ):
        parser.add_argument(name, type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--fault", choices=SCENARIOS, action="append", help="(repeatable)")
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        search = CONTENDERS[options.contender]
        how = {"again": options.again, "extend": options.extend, "seed": options.seed}
        print(json.dumps(search(options.folder, **how)))
        return
    rows = []
    for fault in options.fault or SCENARIOS:
        row, scenario = {"fault": fault}, SCENARIOS[fault]
        for name in CONTENDERS:
            folder = Path(tempfile.mkdtemp())
            row[name] = scenario(name, folder)
            shutil.rmtree(folder, ignore_errors=True)
        rows.append(row)
        print(row, flush=True)
    frame = pd.DataFrame(rows)
    report.show("faults", list(frame.columns), frame.to_numpy().tolist())
    if options.out:
        report.save(frame, options.out)
    report.state()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


if __name__ == "__main__":
    main()
