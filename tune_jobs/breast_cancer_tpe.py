"""Tune a multilayer perceptron on the breast cancer table with TPE and ASHA.

40 trials and the finals, 20 to 35 s on 2 CPU cores. One run gave a winner with a validation log
loss of 0.107 (95 % interval 0.010 to 0.204) and, on the test set, a log loss of 0.048 and an
accuracy of 0.982; a linear model has 0.048 and 0.991. No download.

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
    searcher=TPE(),
    scheduler=ASHA(grace_period=2, reduction_factor=3),
    num_samples=40,
    max_epochs=27,
)
