"""Bayesian optimisation with a Gaussian process over configs and epochs."""
