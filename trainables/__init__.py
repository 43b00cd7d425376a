"""Keras models and how they are fitted: one module per family, each with ``build`` and ``train``."""
