"""The search space of optimizers for several jobs: each optimizer with its own hyperparameters."""

from ray import tune

from tune_jobs.engine import near_one

LEARNING_RATE = tune.loguniform(1e-4, 1.0)
EPSILON = tune.loguniform(1e-8, 1e-2)

ADAM = {
    "name": "adam",
    "learning_rate": LEARNING_RATE,
    "beta_1": near_one(0.9, 0.999),
    "beta_2": near_one(0.9, 0.999),
    "epsilon": EPSILON,
}
RMSPROP = {
    "name": "rmsprop",
    "learning_rate": LEARNING_RATE,
    "rho": near_one(0.9, 0.999),
    "momentum": tune.choice([0.0, near_one(0.9, 0.999)]),
    "epsilon": EPSILON,
}
SGD = {
    "name": "sgd",
    "learning_rate": LEARNING_RATE,
    "momentum": near_one(0.9, 0.999),
    "nesterov": tune.choice([False, True]),
}
ADAGRAD = {
    "name": "adagrad",
    "learning_rate": LEARNING_RATE,
    "initial_accumulator_value": tune.loguniform(1e-3, 1.0),
    "epsilon": EPSILON,
}
ADADELTA = {
    "name": "adadelta",
    "learning_rate": LEARNING_RATE,
    "rho": near_one(0.9, 0.999),
    "epsilon": EPSILON,
}

DECAY = tune.choice(
    [
        {"name": "none"},
        {
            "name": "exponential",
            "rate": tune.uniform(0.5, 0.99),
            "steps": tune.choice([20, 50, 100, 200]),
            "staircase": tune.choice([False, True]),
        },
        {"name": "cosine"},
    ]
)

OPTIMIZER = {
    "optimizer": tune.choice([ADAM, RMSPROP, SGD, ADAGRAD, ADADELTA]),
    "decay": DECAY,
}
