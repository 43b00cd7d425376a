"""Tune a multilayer perceptron on the breast cancer table with TPE and ASHA.

tune-jobs run breast_cancer_tpe
"""

from trainables import tabular_mlp
from tune_jobs._optimizers import OPTIMIZER
from tune_jobs.engine import ASHA, TPE, Job, compose, table

JOB = Job(
    trainable=tabular_mlp.train,
    space=compose(tabular_mlp.ARCHITECTURE, OPTIMIZER, {"patience": 8}),
    data=table("breast_cancer", target="malignant"),
    metric="val_loss",
    mode="min",
    searcher=TPE(),
    scheduler=ASHA(grace_period=2, reduction_factor=3),
    num_samples=40,
    max_epochs=27,
)
