"""Tune a multilayer perceptron on the breast cancer table with random search and median stopping.

tune-jobs run breast_cancer_random
"""

from trainables import tabular_mlp
from tune_jobs._optimizers import OPTIMIZER
from tune_jobs.engine import Job, MedianStopping, RandomSearch, compose, table

JOB = Job(
    trainable=tabular_mlp.train,
    space=compose(tabular_mlp.ARCHITECTURE, OPTIMIZER, {"patience": 8}),
    data=table("breast_cancer", target="malignant"),
    metric="val_loss",
    mode="min",
    searcher=RandomSearch(),
    scheduler=MedianStopping(grace_period=3),
    num_samples=40,
    max_epochs=27,
)
