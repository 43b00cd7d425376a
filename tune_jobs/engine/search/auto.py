"""The choice between models of the space."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tune_jobs.engine.search.gaussian.curve_model import CurveModel
from tune_jobs.engine.search.knowledge import Knowledge, Proposal
from tune_jobs.engine.search.tpe import JointTPE

# The trials up to which the Gaussian process is asked. It looks at 250 of them at most.
MOST_FOR_PROCESS = 1000


@dataclass(frozen=True)
class AutoModel:
    """Asks the Gaussian process first, and TPE in long searches."""

    process: CurveModel = field(default_factory=CurveModel)
    tpe: JointTPE = field(default_factory=JointTPE)

    def choose(self, knowledge: Knowledge, random: np.random.Generator) -> Proposal | None:
        """Return the proposal of the model that the rule names."""
        few = len(knowledge.known) <= MOST_FOR_PROCESS
        return (self.process if few else self.tpe).choose(knowledge, random)
