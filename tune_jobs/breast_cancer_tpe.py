"""Tune a multilayer perceptron on the breast cancer table with TPE and ASHA.

40 trials and the finals, 52 s on 2 CPU cores. Two runs gave a winner with a validation log loss of
0.105 (95 % interval 0.032 to 0.178) and, on the test set, a log loss of 0.053 and an accuracy of
0.974; a linear model has 0.048 and 0.991. No download.

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
