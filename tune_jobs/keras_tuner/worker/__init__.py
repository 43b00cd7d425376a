"""What runs on a worker: the arguments of `search`, the training, and what it returns."""
