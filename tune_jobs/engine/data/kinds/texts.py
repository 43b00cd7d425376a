"""What kinds of columns of texts have in common."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tune_jobs.engine.data.arrays import coded, without_dictionary
from tune_jobs.engine.data.splitting import Array


def count_missing_texts(values: pa.ChunkedArray) -> int:
    """Count nulls and empty texts."""
    return int((coded(values).codes < 0).sum())


def text_content(values: pa.ChunkedArray) -> list[object]:
    """Return the distinct texts and the codes."""
    found = coded(values)
    return [*found.values, found.codes]


def read_texts(values: pa.ChunkedArray) -> Array:
    """Return texts, "" if missing, as an array of objects of shape (rows,)."""
    texts = pc.fill_null(without_dictionary(values).cast(pa.large_string()), "")
    return np.array(texts.to_pylist(), dtype=object)
