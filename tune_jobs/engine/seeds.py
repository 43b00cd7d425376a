"""All seeds of a run derive from the job's one seed."""

from __future__ import annotations

import zlib

import numpy as np


def derive(seed: int, purpose: str) -> int:
    """Derive an independent seed below 2**31 for a purpose such as ``"split"``."""
    key = zlib.crc32(purpose.encode())
    return int(np.random.SeedSequence(seed, spawn_key=(key,)).generate_state(1)[0] >> 1)
