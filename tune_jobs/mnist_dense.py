"""Tune two hidden layers and a learning rate on MNIST, which you provide as a file.

20 trials. The file is what Keras calls ``mnist.npz``: x_train, y_train, x_test and y_test.

tune-jobs run mnist_dense --data mnist.npz
"""

from ray import tune

from trainables import tabular_mlp
from tune_jobs.engine import ASHA, TPE, Job, images

UNITS = tune.qrandint(32, 256, 32)

JOB = Job(
    trainable=tabular_mlp.train,
    space={
        "layers": [{"units": UNITS}, {"units": UNITS}],
        "optimizer": {"name": "adam", "learning_rate": tune.loguniform(0.005, 0.01)},
        "batch_size": 128,
    },
    data=images("mnist.npz"),
    metric="val_accuracy",
    searcher=TPE(),
    scheduler=ASHA(grace_period=1, reduction_factor=3),
    num_samples=20,
    max_epochs=9,
)
