"""Tune a convolutional network on images of yours, with ASHA.

The space suits images of 8 x 8 grey to 64 x 64 colour: one to three blocks of convolutions, Adam
with or without weight decay. 30 trials and the finals. The file has x_train, y_train, x_test and
y_test, as numpy.savez writes them.

tune-jobs check images --data mine.npz
tune-jobs run images --data mine.npz
"""

from ray import tune

from trainables import image_cnn
from tune_jobs.engine import ASHA, Job, images

BLOCK = {"filters": tune.choice([16, 32, 64]), "kernel_size": tune.choice([3, 5])}
LEARNING_RATE = tune.loguniform(3e-4, 1e-2)

SPACE = {
    "blocks": tune.choice([[BLOCK] * count for count in (1, 2, 3)]),
    "dense_units": tune.choice([64, 128, 256]),
    "dropout": tune.choice([0.0, 0.2, 0.4]),
    "batch_normalisation": tune.choice([False, True]),
    "batch_size": tune.choice([32, 64, 128]),
    "optimizer": tune.choice(
        [
            {"name": "adam", "learning_rate": LEARNING_RATE},
            {
                "name": "adamw",
                "learning_rate": LEARNING_RATE,
                "weight_decay": tune.loguniform(1e-4, 1e-1),
            },
        ]
    ),
    "patience": 5,
}

JOB = Job(
    trainable=image_cnn.train,
    space=SPACE,
    data=images("mine.npz"),
    metric="val_loss",
    scheduler=ASHA(),
    num_samples=30,
    max_epochs=27,
)
