"""Run one contender's search in this process: python -m benchmarks.contenders peers NAME FOLDER."""

import importlib
import json
import sys

from benchmarks.contenders import PEERS, QUALITY
from benchmarks.task import read_task


def main() -> None:
    kind, name, folder = sys.argv[1:]
    module, function = {"peers": PEERS, "quality": QUALITY}[kind][name]
    search = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), function)
    found = search(read_task(folder))
    losses = sorted(found["losses"])
    best = losses[0] if losses else None
    line = {"contender": name, "trials": len(losses), "best": best, **found, "losses": losses}
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
