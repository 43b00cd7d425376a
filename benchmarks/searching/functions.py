"""Functions and spaces that need no data: the usual test functions, and mixed spaces.

Functions: Surjanovic and Bingham, Virtual Library of Simulation Experiments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.searching.problem import Config, Played, Problem, Scale

EPOCHS = 27


@dataclass(frozen=True)
class Function:
    """A loss of a config, with noise; its least value is 0.

    Attributes:
        space: of Ray.
        loss: without noise.
        noise: the standard deviation of what a trial adds.
        fails: whether a config's trial fails.
    """

    space: dict[str, Any]
    loss: Callable[[Config], float]
    noise: float = 0.0
    fails: Callable[[Config], bool] = lambda _: False
    max_epochs: int = 1

    def play(self, config: Config, random: np.random.Generator, used: set[int]) -> Played:  # noqa: ARG002
        """Evaluate a config."""
        if self.fails(config):
            return Played(config, [], [], fails=True)
        loss = self.loss(config)
        observed = loss + self.noise * random.normal()
        return Played(config, [observed], [loss])


@dataclass(frozen=True)
class Curves:
    """Learning curves that approach a loss: fast with high learning rates, and later overfitted.

    Attributes:
        space: of Ray.
        loss: that a config approaches.
        scale: of the regrets.
    """

    space: dict[str, Any]
    loss: Callable[[Config], float]
    scale: Scale
    max_epochs: int = EPOCHS

    def play(self, config: Config, random: np.random.Generator, used: set[int]) -> Played:  # noqa: ARG002
        """Train a config."""
        expected = curve_of(self.loss(config), _log_rate(config), start=1.2)
        own = 0.01 * random.normal()
        started = curve_of(self.loss(config), _log_rate(config), start=1.2 + 0.2 * random.normal())
        losses = started + own + 0.01 * random.normal(size=EPOCHS)
        return Played(config, losses.tolist(), self.scale.regrets(expected))


def make_curves(space: dict[str, Any], loss: Callable[[Config], float]) -> Curves:
    """Build a task of curves."""

    def curves_of(configs: list[Config]) -> NDArray[np.float64]:
        return np.array([curve_of(loss(each), _log_rate(each), start=1.2) for each in configs])

    return Curves(space, loss, Scale.of(space, curves_of))


def curve_of(loss: float, log_rate: float, start: float) -> NDArray[np.float64]:
    """Return losses by epochs, falling from a start to the loss and then rising a little."""
    epochs = np.arange(1, EPOCHS + 1)
    speed = 0.25 * 10 ** (0.25 * (log_rate + 3))
    overfitted = 0.02 * np.maximum(0, np.log(2 * epochs * speed))
    curve: NDArray[np.float64] = (
        loss + (start - loss) * np.exp(-((speed * epochs) ** 0.7)) + overfitted
    )
    return curve


def _log_rate(config: Config) -> float:
    rate = config["lr"] if "lr" in config else config["opt"]["lr"]
    return math.log10(rate)


def branin(config: Config) -> float:
    x, y = config["x"], config["y"]
    well = (y - 5.1 / (4 * math.pi**2) * x * x + 5 / math.pi * x - 6) ** 2
    return well + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10 - 0.397887


def hartmann6(config: Config) -> float:
    x = _vector(config)
    return 3.32237 - float(HARTMANN_C @ np.exp(-(HARTMANN_A * (x - HARTMANN_P) ** 2).sum(axis=1)))


def ackley(config: Config) -> float:
    x = _vector(config)
    far = -20 * np.exp(-0.2 * np.sqrt((x * x).mean()))
    return float(far - np.exp(np.cos(2 * np.pi * x).mean()) + 20 + np.e)


def rosenbrock(config: Config) -> float:
    x = _vector(config)
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


def levy(config: Config) -> float:
    w = 1 + (_vector(config) - 1) / 4
    inner = (w[:-1] - 1) ** 2 * (1 + 10 * np.sin(np.pi * w[:-1] + 1) ** 2)
    last = (w[-1] - 1) ** 2 * (1 + np.sin(2 * np.pi * w[-1]) ** 2)
    return float(np.sin(np.pi * w[0]) ** 2 + inner.sum() + last)


def optimizers(config: Config) -> float:
    """Return the loss of one of four optimizers, the last of which can reach 0."""
    optimizer, width = config["opt"], math.log2(config["units"])
    lowest, rate, bend, option, wanted, weight = OPTIMIZERS[optimizer["name"]]
    loss = lowest + bend * (math.log10(optimizer["lr"]) - rate) ** 2
    return loss + weight * (optimizer[option] - wanted) ** 2 + 0.02 * (width - 6.5) ** 2


def layers(config: Config) -> float:
    """Return the loss of a network, least with 4 layers that become narrower."""
    loss = 0.03 * (len(config["layers"]) - 4) ** 2 + 0.04 * (math.log10(config["lr"]) + 3) ** 2
    for place, layer in enumerate(config["layers"]):
        loss += 0.03 * (math.log2(layer["units"]) - (7 - 0.5 * place)) ** 2
        loss += 0.6 * (layer["drop"] - 0.1 * place) ** 2
    return loss


def rate_and_batch(config: Config) -> float:
    """Return the loss of a learning rate, the best of which rises with the batch size."""
    rate, batch = math.log10(config["lr"]), math.log2(config["batch"])
    return 0.06 * (rate + 3 - 0.35 * (batch - 6)) ** 2 + 0.02 * (batch - 6) ** 2


def trap(config: Config) -> float:
    """Return the loss, 0 at 64 units and a rate of 0.01."""
    return abs(math.log2(config["units"] / 64)) / 4 + abs(math.log10(config["rate"]) + 2)


def border(config: Config) -> float:
    """Return the loss, 0 at the widest network that does not fail and a rate of 0.01."""
    return abs(math.log2(config["units"] / FAILING)) + abs(math.log10(config["rate"]) + 2)


def small(config: Config) -> float:
    """Return the loss in a space of 192 points, 0 at one of them."""
    point = tuple(values.index(config[name]) for name, values in SMALL.items())
    return float(_small_losses()[point])


def _small_losses() -> NDArray[np.float64]:
    axes = np.meshgrid(*(np.arange(len(values)) for values in SMALL.values()), indexing="ij")
    activation, units, rate, batch = axes
    offsets = np.array([0.12, 0.0, 0.05, 0.3])[activation]
    losses = offsets + 0.1 * (units - 2) ** 2 + 0.15 * (rate - 1 - 0.5 * (batch - 1)) ** 2
    losses = losses + 0.03 * np.random.default_rng(192).normal(size=losses.shape)
    return losses - losses.min()


def _vector(config: Config) -> NDArray[np.float64]:
    return np.array([config[f"x{place}"] for place in range(len(config))])


def _box(count: int, lower: float, upper: float) -> dict[str, Any]:
    from ray import tune

    return {f"x{place}": tune.uniform(lower, upper) for place in range(count)}


def _branin_space() -> dict[str, Any]:
    from ray import tune

    return {"x": tune.uniform(-5, 10), "y": tune.uniform(0, 15)}


def _optimizers_space() -> dict[str, Any]:
    from ray import tune

    def optimizer(name: str, option: str, least: float) -> dict[str, Any]:
        return {"name": name, "lr": tune.loguniform(1e-5, 1), option: tune.uniform(least, 0.99)}

    options = [optimizer("sgd", "mom", 0.0), optimizer("adam", "b1", 0.5)]
    options += [optimizer("rms", "rho", 0.5), optimizer("nadam", "b1", 0.5)]
    return {"opt": tune.choice(options), "units": tune.randint(8, 257)}


def _layers_space() -> dict[str, Any]:
    from ray import tune

    def layer() -> dict[str, Any]:
        return {"units": tune.randint(8, 257), "drop": tune.uniform(0, 0.6)}

    depths = [[layer() for _ in range(depth)] for depth in range(2, 7)]
    return {"layers": tune.choice(depths), "lr": tune.loguniform(1e-5, 1)}


def _rate_and_batch_space() -> dict[str, Any]:
    from ray import tune

    batch = tune.choice([16, 32, 64, 128, 256, 512])
    return {"lr": tune.loguniform(1e-5, 1), "batch": batch}


def _trap_space() -> dict[str, Any]:
    from ray import tune

    return {"units": tune.randint(LEAST, MOST + 1), "rate": tune.loguniform(1e-4, 1)}


def _small_space() -> dict[str, Any]:
    from ray import tune

    return {name: tune.choice(values) for name, values in SMALL.items()}


def _fails(config: Config) -> bool:
    return bool(config["units"] > FAILING)


HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14]]
    + [[3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_P = 1e-4 * np.array(
    [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991]]
    + [[2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]
)
HARTMANN_C = np.array([1, 1.2, 3, 3.2])

# The least loss, the best rate and how it bends there, the other option, its best value and weight.
OPTIMIZERS = {
    "sgd": (0.08, -1, 0.03, "mom", 0.9, 0.3),
    "adam": (0.03, -3, 0.05, "b1", 0.9, 0.2),
    "rms": (0.06, -3.5, 0.05, "rho", 0.9, 0.2),
    "nadam": (0.0, -2.5, 0.08, "b1", 0.85, 0.4),
}

# The top third of the widths fails.
LEAST, MOST = 16, 1024
FAILING = LEAST + 2 * (MOST - LEAST) // 3

SMALL: dict[str, list[Any]] = {
    "activation": ["relu", "tanh", "gelu", "sigmoid"],
    "units": [32, 64, 128, 256],
    "rate": [1e-4, 1e-3, 1e-2, 1e-1],
    "batch": [16, 64, 256],
}


def list_problems() -> list[Problem]:
    """Return the problems that need no data."""
    return [
        _problem("Branin", "functions", False, _branin_space, branin),
        _problem("Hartmann6", "functions", True, lambda: _box(6, 0, 1), hartmann6),
        _problem("Ackley5", "functions", False, lambda: _box(5, -32.768, 32.768), ackley),
        _problem("Rosenbrock4", "functions", True, lambda: _box(4, -5, 10), rosenbrock),
        _problem("Levy4", "functions", False, lambda: _box(4, -10, 10), levy),
        _problem("optimizers", "mixed", False, _optimizers_space, optimizers),
        _problem("layers", "mixed", True, _layers_space, layers),
        _problem("rate-batch", "mixed", True, _rate_and_batch_space, rate_and_batch, noise=0.05),
        _problem("failures-far", "failures", False, _trap_space, trap, fails=_fails),
        _problem("failures-near", "failures", True, _trap_space, border, fails=_fails),
        _problem("192-points", "finite", True, _small_space, small),
        Problem("curves-optimizers", "curves", False, _optimizers_curves),
        Problem("curves-layers", "curves", True, _layers_curves),
    ]


def _problem(
    name: str,
    kind: str,
    held_back: bool,
    make_space: Callable[[], dict[str, Any]],
    loss: Callable[[Config], float],
    **how: Any,
) -> Problem:
    return Problem(name, kind, held_back, lambda: Function(make_space(), loss, **how))


def _optimizers_curves() -> Curves:
    return make_curves(_optimizers_space(), optimizers)


def _layers_curves() -> Curves:
    return make_curves(_layers_space(), layers)
