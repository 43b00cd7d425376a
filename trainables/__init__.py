"""Keras models to search over, and what they are made of.

``tabular_mlp`` and ``image_cnn`` each have a search space, ``build`` and ``train``, as your own
models would. ``layers`` and ``compilation`` build parts of models, ``fitting`` trains them,
``export`` makes files of them, and ``preload`` prepares worker processes.
"""
