"""Short free text as a bag of words: for each of the most frequent words, whether a row has it.

A word is what Keras' ``TextVectorization`` takes for one: bytes between ASCII white space, with
ASCII capitals made small and ASCII punctuation left out. The exported model has that layer inside.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from tune_jobs.engine.data.arrays import Coded, coded, is_text
from tune_jobs.engine.data.kinds.kind import Column, Fitted, Role
from tune_jobs.engine.data.kinds.texts import count_missing_texts, read_texts, text_content
from tune_jobs.engine.data.splitting import Array
from tune_jobs.engine.errors import JobError
from tune_jobs.engine.names import ignoring

MOST_WORDS = 200  # that have a feature
FEWEST_ROWS = 3  # of the training set that have a word

# Text is free if a row has this many words, in a column of many distinct texts.
FREE_WORDS, FREE_SHARE, FREE_ROWS = 3, 0.5, 20
LONG_WORDS = 60  # per row: more is a document, whose words in any order say little

PUNCTUATION = re.compile(rb"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']""")


@dataclass(frozen=True)
class Words:
    """Short free text."""

    name: str = "words"
    is_text: Literal[True] = True
    is_quantity: Literal[False] = False

    def takes(self, arrow: pa.DataType) -> bool:
        """Return whether values are texts."""
        return is_text(arrow)

    def count_missing(self, values: pa.ChunkedArray) -> int:
        """Count nulls and empty texts."""
        return count_missing_texts(values)

    def content(self, name: str, values: pa.ChunkedArray) -> list[object]:  # noqa: ARG002
        """Return the distinct texts and the codes."""
        return text_content(values)

    def fit(
        self,
        name: str,
        values: pa.ChunkedArray,
        train: Array,
        max_categories: int,  # noqa: ARG002
    ) -> Fitted:
        """Learn the words that most training rows have."""
        found = coded(values)
        codes = found.codes[train]
        counts: Counter[str] = Counter()
        for code, rows in zip(*np.unique(codes[codes >= 0], return_counts=True), strict=True):
            for word in set(split_words(found.values[code])):
                counts[word] += int(rows)
        ranked = sorted((-rows, word) for word, rows in counts.items() if rows >= FEWEST_ROWS)
        words = sorted(word for _, word in ranked[:MOST_WORDS])
        if not words:
            return Fitted(None, dropped=f"it has no word of {FEWEST_ROWS} rows in the training set")
        return Fitted({"name": name, "kind": self.name, "words": words})

    def features(self, column: Column) -> list[Role]:
        """Return a feature for each word."""
        return ["word"] * len(column["words"])

    def count_codes(self, column: Column) -> list[int]:  # noqa: ARG002
        """Return nothing: no feature is a code."""
        return []

    def encode(self, column: Column, values: pa.ChunkedArray) -> list[Array]:
        """Return for each word whether a row has it."""
        found = coded(values)
        table = _find_words(found, column["words"])
        return [row[found.codes].astype(np.float32) for row in table]

    def read_raw(self, name: str, values: pa.ChunkedArray) -> Array:  # noqa: ARG002
        """Return texts, "" if missing."""
        return read_texts(values)


WORDS = Words()


def split_words(text: str) -> list[str]:
    """Return the words of a text, as Keras' ``TextVectorization`` does."""
    return [
        word.decode("utf-8", "surrogatepass")
        for word in PUNCTUATION.sub(b"", text.encode("utf-8", "surrogatepass").lower()).split()
    ]


def is_free_text(name: str, texts: Sequence[str], counts: Array) -> bool:
    """Return whether texts of a column are sentences or names, and no categories.

    Raises:
        JobError: if they are too long for a bag of words.
    """
    rows = int(counts.sum())
    if rows < FREE_ROWS or len(texts) < FREE_SHARE * rows:
        return False
    lengths = np.array([text.count(" ") + 1 for text in texts])
    mean = float((lengths * counts).sum() / rows)
    if mean > LONG_WORDS:
        raise JobError(
            f"column {name!r} is long text, of {mean:.0f} words per row: a bag of words would say "
            "little of it; make numbers of it first, such as the embedding of a language model, "
            f"or leave it out with {ignoring(name)}"
        )
    return mean >= FREE_WORDS and len(_frequent(texts)) > 1


def _frequent(texts: Sequence[str]) -> list[str]:
    counts = Counter(word for text in texts for word in set(split_words(text)))
    return [word for word, rows in counts.items() if rows >= FEWEST_ROWS]


def _find_words(found: Coded, words: Sequence[str]) -> Array:
    """Return a matrix of words and distinct texts, with a last text that has none."""
    places = {word: place for place, word in enumerate(words)}
    table = np.zeros((len(words), len(found.values) + 1), np.uint8)
    for code, text in enumerate(found.values):
        for word in split_words(text or ""):
            if word in places:
                table[places[word], code] = 1
    return table
