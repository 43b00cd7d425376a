"""How a Keras model is fitted, resumed and reported to Ray Tune, one epoch after another."""

from trainables.fitting.fit import fit
from trainables.fitting.task import Data, Replica

__all__ = ["Data", "Replica", "fit"]
