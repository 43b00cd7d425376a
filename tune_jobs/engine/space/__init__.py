"""Search spaces: the domains of hyperparameters, and the configs drawn from them."""
