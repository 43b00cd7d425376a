"""Random input of every kind: command lines, job files, profiles, an experiment's files, tables.

Each generator gets a random number generator and an empty folder, which is the current one; it
writes files there, and returns the words of a command line.
"""

from __future__ import annotations

import gzip
import hashlib
import inspect
import json
import math
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.cluster_files import cluster_file
from tests.fuzz.earlier_results import earlier_results
from tests.fuzz.pieces import (
    FIXTURE,
    PLAIN_JOB,
    TEXTS,
    any_bytes,
    any_value,
    changed,
    copy_experiment,
    parsed,
    write_neighbours,
)
from tune_jobs import engine
from tune_jobs.cli.main import main

Generator = Callable[[random.Random], list[str]]

# Command lines.

OPTIONAL = ("doctor",)  # looks at the machine itself


def command_line(rng: random.Random) -> list[str]:
    """Return a command with random options and arguments."""
    write_neighbours()
    if rng.random() < 0.6:
        copy_experiment()
    name = rng.choice([each for each in main.commands if each not in OPTIONAL])
    command, words = main.commands[name], [name]
    if isinstance(command, click.Group):
        return [
            *words,
            rng.choice([*command.commands, "x"]),
            *rng.choices(TEXTS, k=rng.randint(0, 2)),
        ]
    for parameter in command.params:
        words += _given(rng, parameter)
    if rng.random() < 0.1:
        words.insert(rng.randint(1, len(words)), rng.choice(TEXTS))
    return words


def _given(rng: random.Random, parameter: click.Parameter) -> list[str]:
    if isinstance(parameter, click.Argument):
        many = rng.randint(0, 3) if parameter.nargs == -1 else int(rng.random() < 0.95)
        likely = {"job": ["job.py", "breast_cancer_random"]}.get(str(parameter.name), ["mine"])
        return [
            rng.choice(likely) if rng.random() < 0.6 else rng.choice(TEXTS) for _ in range(many)
        ]
    is_needed = parameter.required and rng.random() < 0.9
    if not is_needed and rng.random() > 0.12:
        return []
    flag = rng.choice([*parameter.opts, *parameter.secondary_opts])
    if getattr(parameter, "is_flag", False):
        return [flag]
    return [flag, _value_for(rng, parameter)]


def _value_for(rng: random.Random, parameter: click.Parameter) -> str:
    if isinstance(parameter.type, click.Choice) and rng.random() < 0.9:
        return str(rng.choice(list(parameter.type.choices)))
    if isinstance(parameter.type, click.types.IntParamType) and rng.random() < 0.7:
        return str(rng.choice([0, 1, 2, 5, -1, 10**6, 10**30]))
    return rng.choice(TEXTS)


# Job files.


def job_file(rng: random.Random) -> list[str]:
    """Write a job file of random parts."""
    write_neighbours()
    if rng.random() < 0.15:
        Path("job.py").write_bytes(any_bytes(rng, PLAIN_JOB.encode()))
    else:
        fields = {"metric": "'loss'", "num_samples": "2", "max_epochs": "3"}
        for name in rng.sample(sorted(FIELDS), rng.randint(0, 4)):
            is_odd = rng.random() < 0.15
            fields[name] = _literal(rng) if is_odd else rng.choice(FIELDS[name])
            if rng.random() < 0.3 and name in SETTINGS:
                fields[name] = _called(rng, rng.choice(SETTINGS[name]))
        given = ", ".join(f"{name}={value}" for name, value in fields.items())
        space = _space(rng) if rng.random() < 0.95 else _literal(rng)
        trainable = rng.choice(["train"] * 9 + [_literal(rng)])
        source = f"{HEAD}\nJOB = Job({trainable}, {space}, {given})\n"
        Path("job.py").write_text(source, encoding="utf-8", errors="surrogatepass")
    if rng.random() < 0.7:
        return ["check", "job.py"]
    return ["run", "job.py", "--name", "new"]


HEAD = """
import math, threading
from math import inf, nan
from ray import tune
from tune_jobs.engine import *
def train(config, data): ...
def raises(*_): raise RuntimeError('x')
nested = 1
for _ in range(400): nested = {'x': nested}
loop = {}; loop['x'] = loop
"""
FIELDS = {
    "mode": ["'min'", "'max'"],
    "metric": ["'loss'", "'val_accuracy'", "''", "'x' * 9000", "'\\udcff'"],
    "data": ["None", "raises", "print", "table('data.csv', 'churned')", "images('digits')"],
    "searcher": ["Auto()", "TPE()", "RandomSearch()", "GaussianProcess()", "HyperOptTPE()"]
    + ["raises", "print", "TPE(gamma=nan)", "lambda seed: None"],
    "scheduler": ["ASHA()", "ASHA(resume=True)", "Hyperband()", "MedianStopping()", "None", "print"]
    + ["ASHA(grace_period=0)", "ASHA(reduction_factor=nan)", "raises"],
    "evaluation": ["None", "Evaluation(folds=3)", "Evaluation(repeats=2)"]
    + ["Evaluation(scoring='f1')", "Evaluation(groups='city')", "Evaluation(order='age')"],
    "finalists": ["None", "Finalists()", "Finalists(count=1)", "Finalists(level=nan)"],
    "num_samples": ["1", "3", "10**9"],
    "max_epochs": ["1", "5", "10**9"],
    "seed": ["0", "7", "2**80"],
    "points_to_evaluate": ["[]", "[{}]", "[{'x': 0.5}]", "[{'x': nan}]", "[None]", "({'x': 1},)"],
    "stages": ["[]", "[Stage(2)]", "[Stage(2), Stage(2, zoom=0.5)]", "[Stage(2, max_epochs=1)]"],
    "stop_when_done": ["True", "False"],
}
# What a job is set with, of which a field is given any value.
SETTINGS: dict[str, list[Callable[..., Any]]] = {
    "data": [engine.table, engine.images],
    "searcher": [engine.TPE, engine.GaussianProcess, engine.HyperOptTPE, engine.Auto],
    "scheduler": [engine.ASHA, engine.Hyperband, engine.MedianStopping],
    "evaluation": [engine.Evaluation],
    "finalists": [engine.Finalists],
    "stages": [engine.Stage],
}


def _called(rng: random.Random, setting: Callable[..., Any]) -> str:
    """Return a call of a setting with one or two odd arguments."""
    names = list(inspect.signature(setting).parameters) or ["x"]
    given = {"table": {"source": "'data.csv'", "target": "'churned'"}, "images": {}}.get(
        setting.__name__, {}
    )
    for name in rng.sample(names, min(len(names), rng.randint(1, 2))):
        given[name] = _literal(rng)
    call = f"{setting.__name__}({', '.join(f'{name}={value}' for name, value in given.items())})"
    return f"[{call}]" if setting is engine.Stage else call


def _literal(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(
            ["threading.Lock()", "nested", "loop", "object()", "int", "raises", "..."]
        )
    return repr(any_value(rng))


def _space(rng: random.Random, depth: int = 0) -> str:
    parts = []
    for _ in range(rng.randint(0 if rng.random() < 0.1 else 1, 3)):
        name = rng.choice(["'x'", "'y'", "'z'", "'units'", "'é'", "'a.b'", "'optimizer'"])
        if rng.random() < 0.05:
            name = _literal(rng)
        parts.append(f"{name}: {_part(rng, depth)}")
    return "{" + ", ".join(parts) + "}"


def _part(rng: random.Random, depth: int) -> str:
    kind = rng.randrange(40)
    if depth < 3 and kind < 2:
        return _space(rng, depth + 1)
    if depth < 3 and kind == 2:
        return f"[{_part(rng, depth + 1)}, {_part(rng, depth + 1)}]"
    if depth < 3 and kind == 3:
        options = [_part(rng, depth + 1) for _ in range(rng.randint(0, 3))]
        return f"tune.choice([{', '.join(options)}])"
    if kind == 4:
        return f"tune.choice({[any_value(rng) for _ in range(rng.randint(0, 3))]!r})"
    if kind == 5:
        return f"tune.grid_search({[any_value(rng) for _ in range(rng.randint(0, 3))]!r})"
    if kind == 6:
        return rng.choice(
            ["tune.sample_from(lambda _: 1)", "tune.sample_from(raises)", "near_one(0, 1)"]
        )
    if kind == 7:
        return _literal(rng)
    ends = [rng.choice(["0", "1", "0.5", "-3", "1e-4", "1e308", "100", "nan", "inf"]) for _ in "ab"]
    if rng.random() < 0.9:
        ends = ["0.001", rng.choice(["0.5", "1", "10", "64"])]
    name = rng.choice(
        ["uniform", "loguniform", "randint", "lograndint", "randn", "quniform", "near_one"]
    )
    call = "near_one" if name == "near_one" else f"tune.{name}"
    if "rand" in name and name != "randn" and rng.random() < 0.8:
        ends = ["1", rng.choice(["2", "64", "1000000"])]
    if name in ("near_one", "quniform") and rng.random() < 0.8:
        ends = ["0.1", "0.9"]
    step = f", {rng.choice(['0.1'] * 5 + ['0', '1000', 'nan'])}" if name == "quniform" else ""
    return f"{call}({', '.join(ends)}{step})"


# Profiles, and files of clusters.


def profile(rng: random.Random) -> list[str]:
    """Write a profile of random keys and values."""
    write_neighbours()
    known = [
        *("address", "jobs_api", "token_file", "storage", "cpus_per_trial", "gpus_per_trial"),
        *("max_concurrent_trials", "max_failures", "max_silence_minutes", "min_free_gb"),
        *("max_checkpoint_gb", "env"),
    ]
    lines = []
    for key in rng.sample(known, rng.choice([1, 1, 1, 2, 3])):
        value = rng.choice(
            ["auto", "local", "{A: b}", "{A: 1}", ".nan", ".inf", "1", "0.5", "true"]
        )
        if rng.random() < 0.4:
            value = json.dumps(any_value(rng)) if rng.random() < 0.5 else rng.choice(TEXTS)
        lines.append(f"{key}: {value}")
    content = "\n".join(lines).encode("utf-8", "surrogatepass")
    if rng.random() < 0.15:
        bomb = b"a: &a [x, x, x, x, x, x, x, x, x]\n"
        for one, other in ("ab", "bc", "cd", "de", "ef", "fg", "gh", "hi", "ij", "jk"):
            bomb += f"{other}: &{other} [{', '.join([f'*{one}'] * 9)}]\n".encode()
        odd = [
            bomb,
            bomb + b"env: *k",
            b"env: {A: " + b"[" * 90 + b"]" * 90 + b"}",
            b"- 1",
            b"1",
            b"x",
            b"a: &a [*a]",
            b"!!python/object:os.system x",
            b"? {a: b}\n: 1",
        ]
        content = rng.choice([any_bytes(rng, content), *odd])
    Path("profile.yaml").write_bytes(content)
    command = rng.choice(["check", "run", "lint", "ls", "status"])
    if command == "lint":
        return ["cluster", "lint", "profile.yaml"]
    if command in ("ls", "status"):
        return [command, "--profile", "profile.yaml"]
    return [command, "job.py", "--profile", "profile.yaml"]


# Files of an experiment.

JSON_FILES = ("experiment.json", "summary.json", "verdict.json", "retest.json", "best_config.json")


def experiment(rng: random.Random) -> list[str]:
    """Damage files of an experiment, by their bytes or by what they say."""
    write_neighbours()
    folder, words = copy_experiment(), rng.choice(ON_EXPERIMENTS)
    if rng.random() < 0.02:  # it takes TensorFlow seconds to read one
        model = any_bytes(rng, (FIXTURE / "best.keras").read_bytes())
        folder.joinpath("best.keras").write_bytes(model)
        predict, export = ["predict", "mine", "data.csv", "out.csv"], ["export", "mine", "a.keras"]
        return rng.choice([predict, export])
    if rng.random() < 0.3 and words[0] not in ("run", "retest"):  # which would wait for a holder
        folder.joinpath("lease").mkdir()
        folder.joinpath("lease/0001-x.json").write_text(json.dumps(any_value(rng)))
    if rng.random() < 0.5:  # so that the history is read
        folder.joinpath("trials.parquet").unlink()
    if rng.random() < 0.2:
        folder.joinpath("retest.json").write_text(json.dumps({"answer": "keep", "reason": "x"}))
    for _ in range(rng.randint(1, 3)):
        _damage(rng, rng.choice([path for path in sorted(folder.rglob("*")) if path.is_file()]))
    if rng.random() < 0.3 or "other" in words:
        copy_experiment("other")
    if rng.random() < 0.2:
        for place in (
            ".retests/mine/incumbent.json",
            ".retests/mine/a.json",
            ".series/x/state.json",
        ):
            path = Path("results", place)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(any_value(rng)))
    return words


ON_EXPERIMENTS = [
    *(["show", "mine"], ["show", "mine", "--json"], ["ls"], ["ls", "--json"], ["clean"]),
    *(["ls", "--expect", "mine", "--within", "30d"], ["compare", "mine", "mine"]),
    *(["compare", "mine", "mine", "--json"], ["clean", "--yes"], ["report", "mine"]),
    *(["clean", "--keep-last", "0", "--older-than", "1s", "--yes"], ["retest", "mine"]),
    *(["run", "--name", "mine", "--resume"], ["run", "--name", "mine", "--extend", "3"]),
    ["run", "job.py", "--name", "mine", "--resume", "--allow-changed"],
    ["run", "job.py", "--name", "new", "--warm-start", "mine", "--set", "metric=val_loss"],
    *(["report", "mine", "other"], ["compare", "mine", "other"], ["show", "mine"]),
    *(["run", "--name", "mine", "--resume", "--max-epochs", "30"], ["show", "mine/finalists"]),
    *(
        ["retest", "mine", "--resume", "--name", "mine-retest"],
        ["retest", "mine", "--slot", "daily"],
    ),
    ["run", "job.py", "--name", "x-{slot}", "--slot", "daily"],
]


def _damage(rng: random.Random, path: Path) -> None:
    content = path.read_bytes()
    how = rng.random()
    if how < 0.25:
        path.write_bytes(any_bytes(rng, content))
    elif how < 0.3:
        path.unlink()
        path.mkdir()
    elif path.suffix == ".json":
        path.write_text(json.dumps(changed(rng, parsed(content))))
    elif path.suffix == ".gz":
        path.write_bytes(_changed_history(rng, content))
    elif path.suffix == ".parquet":
        _change_table(rng, path)


def _changed_history(rng: random.Random, content: bytes) -> bytes:
    try:
        lines = gzip.decompress(content).decode().splitlines()[1:]
    except (OSError, EOFError, ValueError, zlib.error):
        return content
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(lines)) if lines else 0
        how = rng.random()
        if lines and how < 0.8:
            lines[place] = json.dumps(changed(rng, parsed(lines[place].encode())))
        elif lines and how < 0.9:
            del lines[place]
        else:
            lines.insert(place, rng.choice(["{}", "null", "[]", "1", '{"kind": "end"}', "x"]))
    body = "".join(f"{line}\n" for line in lines).encode()
    after = rng.choice([{}, {"1": 3}, {"x": 1}, [], None]) if rng.random() < 0.2 else {}
    head = {"records": len(lines), "sha256": hashlib.sha256(body).hexdigest(), "after": after}
    return gzip.compress(json.dumps(head).encode() + b"\n" + body)


def _change_table(rng: random.Random, path: Path) -> None:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError):
        return
    if frame.shape[1] == 0:
        return
    name, how = rng.choice(list(frame.columns)), rng.randrange(6)
    if how == 0:
        frame = frame.drop(columns=name)
    elif how == 1:
        frame[name] = rng.choices(["x", "", "{}", "[", "1"], k=len(frame))
    elif how == 2:
        frame[name] = [
            rng.choice([1.0, -1.0, math.nan, math.inf, 1e300]) for _ in range(len(frame))
        ]
    elif how == 3:
        frame = frame.head(rng.randint(0, 3))
    elif how == 4:
        frame[name] = rng.choices([0, -1, 1, 5, 2**40], k=len(frame))
    else:
        frame = pd.concat([frame, frame.head(3)])
    frame.to_parquet(path)


# Tables and images.


def data(rng: random.Random) -> list[str]:
    """Write a table or images of random columns, and use them as data or as earlier results."""
    write_neighbours()
    kind = rng.choice(["csv", "csv", "parquet", "npz", "warm"])
    if kind == "npz":
        _write_images(rng)
        return ["check", "job.py", *_job_on("images('data.npz')")]
    frame = _any_frame(rng)
    if kind == "parquet":
        _write_parquet(rng, frame)
    else:
        content = _written(rng, frame)
        Path("data.csv").write_bytes(any_bytes(rng, content) if rng.random() < 0.3 else content)
    if kind == "warm":
        return ["run", "job.py", "--name", "new", "--warm-start", "data.csv"]
    name = "data.parquet" if kind == "parquet" else "data.csv"
    target = rng.choice([*map(str, frame.columns), "nothing"])
    more = rng.choice(
        [
            *("", "", f", ignore=[{rng.choice(list(frame.columns))!r}]", ", task='x'"),
            *(", task='binary'", ", task='regression'", ", scale_target=False"),
            f", {rng.choice(['validation', 'test', 'max_categories'])}={any_value(rng)!r}",
        ]
    )
    column = rng.choice([*map(str, frame.columns)])
    evaluation = rng.choice(
        [
            *("None", "None", "Evaluation(folds=3)", "Evaluation(folds=3, repeats=2)"),
            *(f"Evaluation(groups={column!r}, folds=2)", f"Evaluation(order={column!r}, folds=2)"),
            *("Evaluation(scoring='roc_auc')", "Evaluation(scoring=['r2', 'accuracy'], folds=2)"),
        ]
    )
    targets = [target, rng.choice([*map(str, frame.columns)])] if rng.random() < 0.1 else target
    if rng.random() < 0.1:
        return ["check", rng.choice(["job.py", "breast_cancer_random"]), "--data", name]
    recipe = f"table({name!r}, {targets!r}{more}), evaluation={evaluation}"
    return ["check", "job.py", *_job_on(recipe)]


def _written(rng: random.Random, frame: pd.DataFrame) -> bytes:
    """Return a table as one of the programs writes it that people use."""
    if rng.random() < 0.5:
        return frame.to_csv(index=rng.random() < 0.2).encode("utf-8", "surrogatepass")
    separator = rng.choice([",", ";", "\t", "|", " "])
    decimal = rng.choice([".", ",", "."])
    text = frame.to_csv(index=False, sep=separator, decimal=decimal, quoting=rng.choice([0, 1, 2]))
    how = rng.randrange(8)
    if how == 0:
        text = "# made by a program\n" + text
    elif how == 1:
        text = text.replace("\n", rng.choice(["\r\n", "\r", "\n\n"]))
    elif how == 2:
        text = text.rstrip("\n") + rng.choice([separator, '"', f"{separator}1{separator}2\n", ""])
    elif how == 3:
        head, _, body = text.partition("\n")
        text = f"{separator.join([head, head])}\n{body}"  # each column twice
    elif how == 4:
        text = text.partition("\n")[2]  # no head
    encoding = rng.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
    return text.encode(encoding, "replace")


def _job_on(recipe: str) -> list[str]:
    source = PLAIN_JOB.replace("metric=", f"data={recipe}, metric=")
    Path("job.py").write_text(source, encoding="utf-8", errors="surrogatepass")
    return []


def _any_frame(rng: random.Random) -> pd.DataFrame:
    rows = rng.choice([0, 1, 2, 5, 30, 60])
    names = ["x", "churned", "loss", "value", "", "a,b", 'q"', "é", "config.x", "\n", "age"]
    columns = {name: _any_column(rng, rows) for name in rng.sample(names, rng.randint(1, 4))}
    return pd.DataFrame(columns, index=range(rows))


def _any_column(rng: random.Random, rows: int) -> list[Any]:
    pools: list[list[Any]] = [
        *(
            [0, 1],
            [0.5, 1.5, -2.0],
            [True, False],
            ["a", "b"],
            ["a", "b", None],
            [None],
            [math.nan],
        ),
        *([0.5, math.inf], [1e308, -1e308], [2**62, -(2**62)], ["", " "], ["\x1b", "é", "😀"]),
        *(["1", "2"], ["2026-01-01", "2026-02-30"], ["x" * 2000, "y"], [str(n) for n in range(99)]),
        *([math.nan], [1, "a"], [0, 1, math.nan], ["true", "false"], ["nan", "inf", "1"]),
    ]
    pool = rng.choice(pools)
    return [rng.choice(pool) for _ in range(rows)]


def _write_parquet(rng: random.Random, frame: pd.DataFrame) -> None:
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, UnicodeEncodeError):
        table = pa.table({"x": [1, 2], "churned": ["a", "b"]})
    if rng.random() < 0.4:
        odd = rng.choice(
            [
                pa.array([[1]] * table.num_rows),
                pa.array([{"a": 1}] * table.num_rows),
                pa.array([b"\xff"] * table.num_rows),
                pa.array([1] * table.num_rows, pa.timestamp("us")),
                pa.array([None] * table.num_rows, pa.decimal128(9, 2)),
                pa.array(["a"] * table.num_rows).dictionary_encode(),
            ]
        )
        table = table.append_column(rng.choice(["odd", "churned", "x"]), odd)
    pq.write_table(table, "data.parquet")
    if rng.random() < 0.2:
        Path("data.parquet").write_bytes(any_bytes(rng, Path("data.parquet").read_bytes()))


def _write_images(rng: random.Random) -> None:
    rows = rng.choice([0, 1, 6, 12])
    shape = rng.choice([(rows, 4, 4), (rows, 4, 4, 1), (rows,), (rows, 0, 4), ()])
    kinds = ["uint8", "float32", "float64", "int64", "bool", "complex64", "U3", "datetime64[s]"]
    arrays = {}
    for name in ("x_train", "y_train", "x_test", "y_test", "other"):
        if rng.random() < 0.08:
            continue
        is_image = name.startswith("x") != (rng.random() < 0.05)
        kind = rng.choice(kinds) if rng.random() < 0.2 else "uint8"
        array = np.arange(math.prod(shape)).reshape(shape) if is_image else np.arange(rows) % 2
        with np.errstate(all="ignore"):
            arrays[name] = array.astype(kind)
    np.savez("data.npz", **arrays)
    content = Path("data.npz").read_bytes()
    if rng.random() < 0.3:
        old = rng.choice([b"(6,", b"(12,", b"False", b"|u1", b"x_train", b"<f4"])
        new = rng.choice(
            [b"(-6,", b"(99999999999999,", b"True", b"|O8", b"\0", b"((", b"{}", b"<f9"]
        )
        content = content.replace(old, new[: len(old)].ljust(len(old)))
    if rng.random() < 0.2:
        content = any_bytes(rng, content)
    Path("data.npz").write_bytes(content)


GENERATORS: dict[str, Generator] = {
    "command line": command_line,
    "job file": job_file,
    "profile": profile,
    "experiment": experiment,
    "data": data,
    "cluster file": cluster_file,
    "earlier results": earlier_results,
}
