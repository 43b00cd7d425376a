"""Files of a cluster as a user may have edited them, for ``cluster lint``."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path

from tests.fuzz.pieces import TEXTS, any_bytes, any_value

ROOT = Path(__file__).parents[2]


def cluster_file(rng: random.Random) -> list[str]:
    """Edit a few lines of one of the files in ``cluster``, and check it or the whole folder."""
    shutil.copytree(ROOT / "cluster", "cluster")
    shutil.copy(ROOT / "tests/fixtures/wine.py", "job.py")
    path = rng.choice([each for each in sorted(Path("cluster").rglob("*")) if each.is_file()])
    if rng.random() < 0.2:
        path.write_bytes(any_bytes(rng, path.read_bytes()))
    else:
        lines = path.read_text(encoding="utf-8").splitlines()
        for _ in range(rng.randint(1, 4)):
            _edit(rng, lines)
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return ["cluster", "lint", "cluster" if rng.random() < 0.05 else str(path)]


def _edit(rng: random.Random, lines: list[str]) -> None:
    """Change a line, or its place."""
    places = [number for number, line in enumerate(lines) if line.strip()]
    if not places:
        return
    place, how = rng.choice(places), rng.randrange(7)
    line = lines[place]
    if how == 0:
        del lines[place]
    elif how == 1:
        lines.insert(place, rng.choice([line, rng.choice(lines), str(rng.choice(TEXTS))]))
    elif how == 2:
        lines[place] = " " * rng.randint(0, 8) + line.strip()
    elif how == 3:
        words = line.split(" ")
        words[rng.randrange(len(words))] = rng.choice(TEXTS)
        lines[place] = " ".join(words)
    else:
        key, sign, _ = (
            re.split(r"([:=] ?)", line, maxsplit=1)
            if ":" in line or "=" in line
            else (*(line, ": ", ""),)
        )
        is_text = rng.random() < 0.5
        lines[place] = key + sign + (rng.choice(TEXTS) if is_text else json.dumps(any_value(rng)))
