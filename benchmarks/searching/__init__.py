"""The problems, the searchers and the simulated workers of ``benchmarks.searchers``."""
