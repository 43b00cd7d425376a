"""Keras models and how they are fitted: one module a family, with ``build`` and ``train``."""
