"""Learning curves of LCBench: networks that a surrogate stands for, at any config and epoch.

    python -m benchmarks.searching.surrogates model.onnx   # made data/lcbench.parquet; needs onnx

LCBench (Zimmer et al. 2021, "Auto-PyTorch Tabular") trained 2,000 networks for 52 epochs on each of
35 data sets of OpenML. YAHPO Gym (Pfisterer et al. 2022) fitted one network to all of their curves.
Its weights lie here, and numpy evaluates them. The surrogate has no noise: a config has one curve.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.searching.problem import Config, Played, Problem, Scale

FILE = Path(__file__).parent.parent / "data" / "lcbench.parquet"
EPOCHS = 52

# Tasks of OpenML in the order of the surrogate's embedding, whose first place is that of no task.
TASKS = (
    *("126025", "126026", "126029", "146212", "167083", "167104", "167149", "167152", "167161"),
    *("167168", "167181", "167184", "167185", "167190", "167200", "167201", "168329", "168330"),
    *("168331", "168335", "168868", "168908", "168910", "189354", "189862", "189865", "189866"),
    *("189873", "189905", "189906", "189908", "189909", "34539", "3945", "7593"),
)

# Every fourth: nobody chose them.
PLAYED = TASKS[::4][:8]

# What the surrogate subtracts from each input, and divides it by; and whether it takes logarithms.
INPUTS = {
    "epoch": (0.0, 3.9512436, True),
    "batch_size": (16.0, 495.0, False),
    "learning_rate": (-9.2093115, 6.896975, True),
    "momentum": (0.10000386, 0.88225144, False),
    "weight_decay": (-9.916456, 7.613846, True),
    "num_layers": (1.0, 3.0, False),
    "max_units": (64.0, 960.0, False),
    "max_dropout": (0.00053575326, 0.99941206, False),
}
BLOCKS = 3
EPSILON = 1e-5

# Where the validation cross-entropy stands among the outputs, its scale and what is added.
OUTPUT, SCALE, OFFSET = 2, 34.48018, 0.018199017

Weights = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Surrogate:
    """The validation cross-entropy of LCBench's networks on one data set.

    Attributes:
        space: of Ray.
        task: of OpenML.
        scale: of the regrets.
    """

    space: dict[str, Any]
    task: str
    scale: Scale
    max_epochs: int = EPOCHS

    def play(self, config: Config, random: np.random.Generator, used: set[int]) -> Played:  # noqa: ARG002
        """Read the curve of a config."""
        losses = curves_of(self.task, [config])[0]
        return Played(config, losses.tolist(), self.scale.regrets(losses))


def list_problems() -> list[Problem]:
    """Return the problems, of which none was looked at while a searcher was tuned."""
    return [Problem(f"lcbench-{task}", "lcbench", True, partial(make, task)) for task in PLAYED]


def make(task: str) -> Surrogate:
    """Build a task."""
    space = make_space()
    return Surrogate(space, task, Scale.of(space, partial(curves_of, task)))


def make_space() -> dict[str, Any]:
    """Return the space of YAHPO Gym."""
    from ray import tune

    return {
        "batch_size": tune.lograndint(16, 513),
        "learning_rate": tune.loguniform(1e-4, 1e-1),
        "momentum": tune.uniform(0.1, 0.99),
        "weight_decay": tune.uniform(1e-5, 1e-1),
        "num_layers": tune.randint(1, 6),
        "max_units": tune.lograndint(64, 1025),
        "max_dropout": tune.uniform(0.0, 1.0),
    }


@threadpool_limits.wrap(1)
def curves_of(task: str, configs: list[Config]) -> NDArray[np.float64]:
    """Return the losses of configs, configs x epochs."""
    weights = _read_weights()
    epochs = np.tile(np.arange(1.0, EPOCHS + 1), len(configs))
    inputs = [epochs if name == "epoch" else _repeat(configs, name) for name in INPUTS]
    scaled = [
        ((np.log(values) if is_log else values) - start) / width
        for values, (start, width, is_log) in zip(inputs, INPUTS.values(), strict=True)
    ]
    place = weights["embds_fct.0.weight"][1 + TASKS.index(task)]
    flow = np.column_stack([np.tile(place, (len(epochs), 1)), *scaled])
    flow = _linear(weights, "first_layer", flow)
    for block in range(BLOCKS):
        name = f"layers.{block}"
        wide = _linear(weights, f"{name}.linear0", _normalise(weights, f"{name}.norm", flow))
        values, gates = np.split(wide, 2, axis=1)
        flow = flow + _linear(weights, f"{name}.linear1", values * np.maximum(gates, 0))
    last = np.maximum(_normalise(weights, "last_normalization", flow), 0)
    output = _linear(weights, "head", last)[:, OUTPUT]
    losses: NDArray[np.float64] = SCALE / (1 + np.exp(-output)) + OFFSET
    return losses.reshape(len(configs), EPOCHS)


def convert(model: Path) -> None:
    """Write the weights of YAHPO Gym's model as a table."""
    import onnx

    arrays = onnx.load(model).graph.initializer
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in arrays}
    frame = pd.DataFrame(
        {
            "name": weights.keys(),
            "shape": [list(each.shape) for each in weights.values()],
            "values": [each.ravel().astype(np.float32) for each in weights.values()],
        }
    )
    frame.to_parquet(FILE, index=False, compression="zstd")


def _repeat(configs: list[Config], name: str) -> NDArray[np.float64]:
    return np.repeat(np.array([float(config[name]) for config in configs]), EPOCHS)


def _linear(weights: Weights, name: str, flow: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = flow @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return product


def _normalise(weights: Weights, name: str, flow: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = np.sqrt(weights[f"{name}.running_var"] + EPSILON)
    scaled = (flow - weights[f"{name}.running_mean"]) / deviation
    normal: NDArray[np.float64] = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normal


@cache
def _read_weights() -> Weights:
    frame = pd.read_parquet(FILE)
    return {
        name: np.asarray(values, np.float64).reshape(shape)
        for name, shape, values in frame.itertuples(index=False)
    }


if __name__ == "__main__":
    convert(Path(sys.argv[1]))
