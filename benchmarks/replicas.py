"""Measure replicas in step: 5 folds x 3 repeats of one config, against one fit and against 15.

    python -m benchmarks.replicas --out replicas.parquet

For each kind of model, in one warm process on one thread, 10 epochs: one fit by ``model.fit``; one
compiled fit; 15 replicas in one vectorised program; 15 through one compiled program, one after the
other. The seconds are those of training and validation, the median of repetitions, without
compilation, which is listed separately.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import pandas as pd

from benchmarks import report

FOLDS, REPEATS, EPOCHS, ROWS = 5, 3, 10, 455  # as many as breast cancer has without its test part


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--out", type=Path, metavar="PARQUET")
    options = parser.parse_args()
    rows = [measure(name, *MODELS[name], options.repetitions) for name in MODELS]
    frame = pd.DataFrame(rows)
    header = ["model", "model.fit s", "one s", "15 in step s", "15 in turn s"]
    header += ["in step / one", "in turn / in step", "compile one", "compile 15"]
    report.show("seconds of training", header, [_row(row) for row in rows])
    if options.out:
        report.save(frame, options.out)
    report.state()


def measure(
    name: str, shape: tuple[int, ...], hidden: Callable[[], list[Any]], repetitions: int
) -> dict[str, Any]:
    import keras

    from trainables.fitting import fit
    from trainables.fitting.compiled import fit as compiled
    from trainables.fitting.plain import fit_plainly
    from trainables.fitting.session import Session
    from trainables.fitting.task import make_task

    def build(config: Any) -> Any:
        last = keras.layers.Dense(1, activation="sigmoid")
        model = keras.Sequential([keras.Input(shape), *hidden(), last])
        model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        return model

    config = {"max_epochs": EPOCHS, "batch_size": 32, "seed": 1}
    one, all_of_them = make_data(shape, 1), make_data(shape, FOLDS * REPEATS)
    in_step = compiled.can_be_stacked

    def timed(data: Any, *, stacked: bool) -> dict[str, float]:
        compiled.can_be_stacked = lambda _: stacked
        try:
            return spend(lambda: fit(build, config, data))
        finally:
            compiled.can_be_stacked = in_step

    def repeat(data: Any, *, stacked: bool) -> tuple[float, float]:
        found = [timed(data, stacked=stacked) for _ in range(repetitions + 1)]
        return found[0]["compiling"], float(np.median([each["training"] for each in found[1:]]))

    plain = []
    for _ in range(2):
        before = time.perf_counter()
        fit_plainly(partial(build, config), make_task(config, one), Session(config))
        plain.append(time.perf_counter() - before)
    compile_one, alone = repeat(one, stacked=False)
    compile_all, together = repeat(all_of_them, stacked=True)
    _, in_turn = repeat(all_of_them, stacked=False)
    row = {"model": name, "plain": plain[-1], "one": alone, "in_step": together}
    row |= {"in_turn": in_turn, "compile_one": compile_one, "compile_all": compile_all}
    print(row, flush=True)
    return row


def make_data(shape: tuple[int, ...], replicas: int) -> Any:
    from trainables.fitting.task import Replica

    random = np.random.default_rng(0)
    x = random.normal(size=(ROWS, *shape)).astype("float32")
    y = (x.reshape(ROWS, -1)[:, 0] > 0).astype("float32")
    rows = np.arange(ROWS)
    parts = [rows % FOLDS == number % FOLDS for number in range(replicas)]
    made = [Replica(seed, rows[~held], rows[held]) for seed, held in enumerate(parts)]
    return SimpleNamespace(x_train=x, y_train=y, x_validation=x, y_validation=y, replicas=made)


def spend(run: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds of a fit by purpose."""
    from trainables.fitting.session import Session

    sessions: list[Session] = []
    original = Session.__init__

    def remember(session: Session, config: Any) -> None:
        original(session, config)
        sessions.append(session)

    Session.__init__ = remember  # type: ignore[method-assign]
    try:
        run()
    finally:
        Session.__init__ = original  # type: ignore[method-assign]
    return sessions[-1].spent


def _row(row: dict[str, Any]) -> list[str]:
    seconds = [row[name] for name in ("plain", "one", "in_step", "in_turn")]
    ratios = [row["in_step"] / row["one"], row["in_turn"] / row["in_step"]]
    compiling = [row["compile_one"], row["compile_all"]]
    return [
        row["model"],
        *(f"{value:.3f}" for value in seconds),
        *(f"{value:.1f}" for value in (*ratios, *compiling)),
    ]


def _layers(*makers: Callable[[], Any]) -> Callable[[], list[Any]]:
    return lambda: [make() for make in makers]


def _models() -> dict[str, tuple[tuple[int, ...], Callable[[], list[Any]]]]:
    from keras import layers

    dense = lambda units=64: lambda: layers.Dense(units, "relu")  # noqa: E731
    small = dense(16)
    return {
        "dense 16-16": ((30,), _layers(small, small)),
        "dense 64-64": ((30,), _layers(dense(), dense())),
        "dense 64-64, dropout": (
            (30,),
            _layers(dense(), lambda: layers.Dropout(0.2), dense(), lambda: layers.Dropout(0.2)),
        ),
        "batch normalisation": ((30,), _layers(dense(), layers.BatchNormalization, dense())),
        "layer normalisation": ((30,), _layers(dense(), layers.LayerNormalization, dense())),
        "lstm 16": ((8, 4), _layers(lambda: layers.LSTM(16))),
        "gru 16": ((8, 4), _layers(lambda: layers.GRU(16))),
        "conv1d": ((16, 4), _layers(lambda: layers.Conv1D(16, 3), layers.Flatten)),
        "conv2d": ((8, 8, 1), _layers(lambda: layers.Conv2D(16, 3), layers.Flatten)),
    }


MODELS = _models()

if __name__ == "__main__":
    main()
