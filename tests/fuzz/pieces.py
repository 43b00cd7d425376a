"""What random input is made of: odd texts, values and bytes, and the files that lie around."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

FIXTURE = Path(__file__).parents[1] / "fixtures" / "experiment_0_1"

TEXTS = [
    *("", " ", "x", "x" * 300, "x" * 5000, "\n", "a\nb", "\x1b[31m", "\u202e", "\udcff", "é", "😀"),
    *(".", "a/b", "missing/deep/x", "x.csv", "x.parquet", "x.npz", "x.keras", "x.yaml", "x.py"),
    *("/dev/null", "/dev/full", "/proc/self/mem", "folder", "folder.csv", "folder.keras", "loop"),
    *("loop.csv", "pipe.csv", "pipe.yaml", "s3://", "s3:/x", "abc://x", "file://x", "http://[::1"),
    *(
        "://",
        "{slot}",
        "{job}-{slot}",
        "{",
        "}",
        "%",
        "%(x)s",
        "*",
        "[",
        "--",
        "-",
        "=",
        "a=b",
        "=b",
    ),
    *("1", "0", "-1", "1.5", "1e400", "nan", "inf", "-inf", "true", "null", "[]", "{}", "[[1]]"),
    *("9" * 30, "9" * 5000, "daily", "daily@25:00", "hourly", "2026-11-28", "2026-02-30", "UTC"),
    *("Europe/Berlin", "Mars/Olympus", "45s", "90m", "0d", "laptop", "profile.yaml", "job.py"),
    *("mine", "results/mine", "breast_cancer", "age", "churned", "data.csv", "data.parquet"),
    *("scheduler.grace_period=3", "searcher.gamma=0.5", "x=1", "data.x=1", "space.x=3", "a.b.c=1"),
    *("num_samples=abc", "finalists.count=[]", "trainable=1", "metric=", "seed=1e3", "mode=max"),
]
VALUES = [
    *(None, True, False, 0, 1, -1, 3, 2**31, 2**63, 2**70, 10**400, 0.5, 1e308, -1e308, 5e-324),
    *(math.nan, math.inf, -math.inf, [], {}, [[]], [None], {"a": {}}, {"": 1}, ["x"] * 50),
    *("", "x", "x" * 300, "\n", "\x1b[31m", "\udcff", "é", "complete", "failed", "min", "loss"),
]


def any_value(rng: random.Random, depth: int = 0) -> Any:
    """Return a value that JSON can hold, sometimes nested."""
    if depth < 3 and rng.random() < 0.15:
        many = range(rng.randint(0, 3))
        if rng.random() < 0.5:
            return [any_value(rng, depth + 1) for _ in many]
        return {str(rng.choice(TEXTS))[:50]: any_value(rng, depth + 1) for _ in many}
    if rng.random() < 0.02:
        return nested(rng.choice([50, 150, 600]))
    return rng.choice(VALUES)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def any_bytes(rng: random.Random, content: bytes) -> bytes:
    """Return content that was cut, changed in places, doubled, or replaced."""
    how = rng.randrange(6)
    if how == 0:
        return content[: rng.randint(0, len(content))]
    if how == 1:
        changed = bytearray(content)
        for _ in range(min(len(changed), rng.randint(1, 8))):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        return bytes(changed)
    if how == 2:
        return content + content
    if how == 3:
        return rng.randbytes(rng.randint(0, 300))
    if how == 4:
        return rng.choice([b"", b"\0", b"{", b"[" * 3000, b"null", b"\xff\xfe", b"\xef\xbb\xbf{}"])
    place = rng.randint(0, len(content))
    return content[:place] + rng.choice([b"\xff", b"\0", b"\xed\xb3\xbf", b"\n"]) + content[place:]


def write_neighbours() -> None:
    """Write what commands may find in a folder: data, a job, a profile, what is no file."""
    Path("folder").mkdir()
    Path("folder.csv").mkdir()
    Path("folder.keras").mkdir()
    for name in ("loop", "loop.csv"):
        Path(name).symlink_to(name)
    Path("data.csv").write_text("age,city,churned\n" + "1,Bern,0\n2,Oslo,1\n3,,1\n4,Bern,0\n" * 20)
    Path("profile.yaml").write_text("cpus_per_trial: 1\n")
    Path("job.py").write_text(PLAIN_JOB)


def copy_experiment(name: str = "mine") -> Path:
    folder = Path("results", name)
    shutil.copytree(FIXTURE, folder, ignore=shutil.ignore_patterns("*.keras"))
    shutil.copy(FIXTURE.with_name("wine.py"), "wine.py")  # its job
    return folder


PLAIN_JOB = """
from ray import tune
from tune_jobs.engine import *
def train(config, data): ...
JOB = Job(train, {"x": tune.uniform(0, 1)}, metric="loss", num_samples=2, max_epochs=2)
"""


def parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return {}


def changed(rng: random.Random, value: Any) -> Any:
    """Replace one part of JSON, at a random depth."""
    if isinstance(value, dict | list) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(list(keys))
        if isinstance(value, dict) and rng.random() < 0.2:
            return {name: child for name, child in value.items() if name != key}
        copy: Any = dict(value) if isinstance(value, dict) else list(value)
        copy[key] = changed(rng, value[key])
        return copy
    return like(rng, value) if rng.random() < 0.7 else any_value(rng)


def like(rng: random.Random, value: Any) -> Any:
    """Return another value of the same type: it passes the first check."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice([0, -1, 1, 2, 7, 10**6, 2**31, 2**62, -(2**62), value + 1, 10**400])
    if isinstance(value, float):
        return rng.choice([0.0, -1.0, 1e-300, 1e308, -1e308, math.nan, math.inf, -math.inf])
    if isinstance(value, str):
        return rng.choice(TEXTS)
    if isinstance(value, list):
        return rng.choice([[], value * 2, value[:1], value[::-1], value * 50])
    if isinstance(value, dict):
        return rng.choice([{}, {**value, rng.choice(TEXTS): 1}, dict(list(value.items())[:1])])
    return any_value(rng)
