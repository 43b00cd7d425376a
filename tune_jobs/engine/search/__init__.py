"""Searchers, which choose the next config, and schedulers, which stop trials early."""
