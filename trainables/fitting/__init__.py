"""Fit a Keras model, resume it, and report it to Ray Tune, one epoch after another.

``fit`` is all that a model of yours needs. Bottom up: ``checkpoints``, ``session`` (reports to
Tune), ``rows`` (arrays in dicts and lists), ``task`` (what to fit), ``curves``, ``devices``,
``compiled`` (whole epochs in one program), ``models``, ``callbacks``, ``plain`` (``model.fit``),
``distributed`` (several devices), ``fit``.
"""

from trainables.fitting.fit import fit
from trainables.fitting.session import Config
from trainables.fitting.task import Data, Replica

__all__ = ["Config", "Data", "Replica", "fit"]
