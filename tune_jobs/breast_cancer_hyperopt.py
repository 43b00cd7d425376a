"""Tune a multilayer perceptron on the breast cancer table with HyperOpt's TPE and ASHA.

The search of ``breast_cancer_tpe`` with another searcher, 44 s on 2 CPU cores. One run gave a
winner with a validation log loss of 0.105 (95 % interval 0.032 to 0.178) and, on the test set, a
log loss of 0.053 and an accuracy of 0.974. No download.

tune-jobs run breast_cancer_hyperopt
"""

from trainables import tabular_mlp
from tune_jobs._optimizers import OPTIMIZER
from tune_jobs.engine import ASHA, HyperOptTPE, Job, compose, table

JOB = Job(
    trainable=tabular_mlp.train,
    space=compose(tabular_mlp.ARCHITECTURE, OPTIMIZER, {"patience": 8}),
    data=table("breast_cancer", target="malignant"),
    metric="val_loss",
    searcher=HyperOptTPE(),
    scheduler=ASHA(grace_period=2, reduction_factor=3),
    num_samples=40,
    max_epochs=27,
)
