"""Tune a convolutional network on 1,797 handwritten digits with random search and ASHA.

20 trials and the finals. One run gave a validation accuracy of 0.981 (95 % interval 0.971 to 0.990)
and, on the test set, of 0.983. No download.

tune-jobs run digits_cnn_asha
"""

from ray import tune

from trainables import image_cnn
from tune_jobs.engine import ASHA, Job, RandomSearch, compose, images

JOB = Job(
    trainable=image_cnn.train,
    space=compose(
        image_cnn.ARCHITECTURE,
        {"optimizer": {"name": "adam", "learning_rate": tune.loguniform(1e-4, 1e-1)}},
    ),
    data=images("digits"),
    metric="val_accuracy",
    searcher=RandomSearch(),
    scheduler=ASHA(grace_period=1, reduction_factor=3),
    num_samples=20,
    max_epochs=9,
)
