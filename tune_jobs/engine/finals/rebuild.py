"""The file that builds the winner's model again: ``rebuild_best.py``."""

from __future__ import annotations

import pprint
from pathlib import Path

from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.job.companions import is_ours
from tune_jobs.engine.job.modules import root_of

SNIPPET = '''\
"""Build the winner of {name}: compiled, not trained.

The trained model, which takes raw columns, is best.keras next to this file:

    from pathlib import Path
    from tune_jobs.engine import open_experiment
    model = open_experiment(Path(__file__).parent).best_model()
"""

{imports}

CONFIG = {config}

model = build(CONFIG)
'''

NOTEBOOK = """\
# The search ran in a notebook or a terminal: put its `build` in place of this line.
from __main__ import build"""

SCRIPT = "# runs the script: its search belongs below `if __name__ == '__main__':`"


def code_that_rebuilds(experiment: Experiment) -> str:
    """Return Python code that builds the model of an experiment's best configuration."""
    about = experiment.description
    config = {**experiment.best_config, **about.constants}
    return SNIPPET.format(
        name=experiment.name,
        imports=_imports_of(experiment),
        config=pprint.pformat(config, sort_dicts=False),
    )


def _imports_of(experiment: Experiment) -> str:
    """Return the lines that import ``build``, from the folder that its module lies in."""
    name = (experiment.description.trainable or "").rpartition(".")[0]
    module = experiment.trusted.module if experiment.trusted else None
    if is_ours(name) or module is None:
        return f"from {name} import build"
    root = root_of(module)
    if root is None:
        return NOTEBOOK if name == "__main__" else f"from {name} import build"
    note = ""
    if name == "__main__":
        name, note = Path(str(module.__file__)).stem, f"  {SCRIPT}"
    path = f"import sys\n\nsys.path.insert(0, {str(root)!r})"
    return f"{path}\n\nfrom {name} import build{note}"
