"""Texts that mean that a value is missing."""

from __future__ import annotations

# What pandas.read_csv takes as missing in any column.
NULLS = (
    *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)

# What means missing only among numbers or dates, in lower case; elsewhere it may be a category.
PLACEHOLDERS = frozenset(
    [
        "?",
        "-",
        "--",
        "---",
        "\u2013",
        "\u2014",
        ".",
        "..",
        "...",
        "*",
        "x",
        "unknown",
        "unkn",
        "unk",
    ]
    + ["not known", "not available", "not applicable", "unavailable", "missing", "none", "null"]
    + ["nil", "nan", "na", "n/a", "n.a.", "n.a", "n/k", "n/v", "k.a.", "k. a.", "keine angabe"]
    + ["unbekannt", "inconnu", "nd", "n.d.", "tbd", "tba", "undefined", "undef", "empty", "blank"]
    + ["not recorded", "not reported", "no data", "#n/a", "#value!", "#div/0!", "#ref!", "#num!"]
    + ["null value", "missing value", "unspecified", "not specified", "<na>"]
)


def is_placeholder(text: str) -> bool:
    """Return whether a text among numbers or dates says that there is no value."""
    return text.strip().lower() in PLACEHOLDERS
