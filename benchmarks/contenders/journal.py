"""Note times and values of epochs as JSON lines."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Journal:
    """Notes when a value became known; can be pickled."""

    path: Path

    def note(self, value: float) -> None:
        """Append a value with the time of day."""
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"time": time.time(), "val_loss": float(value)}) + "\n")


def journal_callback(journal: Journal) -> object:
    """Return the function that Keras calls at the end of every epoch."""
    import keras

    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, logs: journal.note(logs["val_loss"])
    )
