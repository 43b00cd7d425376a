"""Read a table: Parquet, CSV, a DataFrame, or one of the tables that scikit-learn ships."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs

from tune_jobs.engine.data.reading.csv_files import read_csv
from tune_jobs.engine.data.reading.dialect import Dialect
from tune_jobs.engine.errors import JobError, first_line
from tune_jobs.engine.names import nearest

if TYPE_CHECKING:
    import pandas as pd

Source: TypeAlias = "str | Path | pd.DataFrame"

# Bytes of a category.
LONGEST = 100_000

ENDINGS = (".parquet", ".csv", ".csv.gz", ".tsv")
UNREADABLE = (pa.ArrowException, OSError, ValueError)


@dataclass(frozen=True)
class Written:
    """What the user says of how a CSV file is written; None to find it.

    Attributes:
        encoding: as Python calls it.
        separator: between columns.
        decimal: the mark before fractions.
    """

    encoding: str | None = None
    separator: str | None = None
    decimal: str | None = None


@dataclass(frozen=True)
class Found:
    """A table as it was read.

    Attributes:
        table: its columns, with the types that the source gives them.
        dialect: of a CSV file; None for a source that has types of its own.
    """

    table: pa.Table
    dialect: Dialect | None = None


def read_table(
    source: Source, *, ignore: Collection[str] = (), strings: Collection[str] = ()
) -> pa.Table:
    """Read a whole table into Arrow memory.

    Args:
        source: as for :func:`read_source`.
        ignore: columns to leave out.
        strings: columns that a CSV file has as text, even if they look like numbers.

    Raises:
        JobError: as :func:`read_source` does.
    """
    return read_source(source, ignore=ignore, strings=strings).table


def read_source(
    source: Source,
    *,
    ignore: Collection[str] = (),
    strings: Collection[str] = (),
    written: Written | None = None,
) -> Found:
    """Read a whole table into Arrow memory, and say how a CSV file is written.

    Args:
        source: a ``.parquet``, ``.csv``, ``.csv.gz`` or ``.tsv`` file, a directory of Parquet
            files, a pandas DataFrame (which is left as it is), or ``breast_cancer``, ``diabetes``
            or ``wine``.
        ignore: columns to leave out.
        strings: columns that a CSV file has as text, even if they look like numbers.
        written: what is known of a CSV file.

    Raises:
        JobError: if it is missing, cannot be read, has no rows, has two columns of one name, or
            lacks a column that ``ignore`` names.
    """
    read, shown = _reader(source)
    try:
        found = read(ignore, strings, written or Written())
    except JobError:
        raise
    except UNREADABLE as error:
        raise JobError(f"{shown} cannot be read: {first_line(error)}") from None
    table = found.table
    _check_names(table.column_names, shown)
    if not table.num_rows:
        raise JobError(f"{shown} has no rows")
    _check_lengths(table, shown)
    return found


def is_frame(source: object) -> bool:
    """Return whether it is a pandas DataFrame, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(source, pandas.DataFrame)


def find_file(source: str | Path) -> Path:
    """Return the path of a file or folder that exists.

    Raises:
        JobError: if it does not exist; the nearest names beside it are shown.
    """
    path = Path(source).expanduser()
    if path.is_file() or path.is_dir():
        return path
    if path.exists():
        raise JobError(f"{str(source)!r} is neither a file nor a folder")
    if not path.parent.is_dir():
        raise JobError(f"no file {str(source)!r}: its folder does not exist")
    beside = nearest(path.name, (found.name for found in path.parent.iterdir()))
    raise JobError(f"no file {str(source)!r}{beside}")


def find_column(name: str, known: Iterable[str], what: str) -> str:
    """Return the name, if it is one of the known columns.

    Raises:
        JobError: if it is not; the nearest names, or the first columns, are shown.
    """
    columns = list(known)
    if name in columns:
        return name
    hint = nearest(name, columns)
    listed = ", ".join(repr(column) for column in columns[:10])
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    raise JobError(f"no column {name!r} ({what}){hint} Columns: {listed}{more}")


def _reader(source: Source) -> tuple[Callable[..., Found], str]:
    if is_frame(source):
        return lambda ignore, *_: Found(_read_frame(source, ignore)), "the DataFrame"
    text = str(source)
    if text in EMBEDDED:
        return lambda ignore, *_: Found(_read_frame(EMBEDDED[text](), ignore)), text
    path = _find_table(text)
    if path.is_dir():
        return lambda ignore, *_: Found(_read_folder(path, ignore)), text
    if path.name.endswith(".parquet"):
        return lambda ignore, *_: Found(_read_parquet(path, ignore)), text
    return lambda *wanted: _read_csv(path, *wanted), text


def _read_csv(
    path: Path, ignore: Collection[str], strings: Collection[str], written: Written
) -> Found:
    table, dialect = read_csv(
        path,
        strings=strings,
        encoding=written.encoding,
        separator=written.separator,
        decimal=written.decimal,
    )
    return Found(table.select(_kept(table.column_names, ignore, str(path))), dialect)


def _find_table(text: str) -> Path:
    path = Path(text)
    if not path.suffix and not path.exists() and path.parent == Path():
        embedded = ", ".join(EMBEDDED)
        hint = nearest(text, EMBEDDED)
        raise JobError(f"no file or embedded table {text!r}{hint} Embedded tables: {embedded}")
    found = find_file(text)
    if not found.is_dir() and not found.name.endswith(ENDINGS):
        known = ", ".join(ENDINGS)
        raise JobError(f"{text} cannot be read as a table; known endings: {known}")
    return found


def _read_parquet(path: Path, ignore: Collection[str]) -> pa.Table:
    from pyarrow import parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
        names = _kept(file.schema_arrow.names, ignore, str(path))
        return file.read(columns=names).select(names)


def _read_folder(folder: Path, ignore: Collection[str]) -> pa.Table:
    # It imports pandas, which jobs that read nothing need not wait for.
    from pyarrow import dataset as parquet_folder

    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))
    if not files:
        raise JobError(f"{folder} has no file that ends in .parquet")
    factory = parquet_folder.FileSystemDatasetFactory(
        fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()),
        files,
        parquet_folder.ParquetFileFormat(),
        parquet_folder.FileSystemFactoryOptions(
            partitioning=parquet_folder.HivePartitioning.discover()
        ),
    )
    whole = factory.finish(factory.inspect(promote_options="permissive"))
    _check_alike(folder, files)
    return whole.to_table(columns=_kept(whole.schema.names, ignore, str(folder)))


def _check_alike(folder: Path, files: list[str]) -> None:
    """Refuse files with other columns: Arrow fills them with nulls, to be learnt as missing."""
    from pyarrow import parquet as pq

    present = {file: set(pq.read_schema(folder / file).names) for file in files}
    every = set().union(*present.values())
    for file, names in present.items():
        if absent := sorted(every - names):
            raise JobError(
                f"{folder}: file {file!r} has no column {absent[0]!r}, which other files have"
            )


def _read_frame(frame: pd.DataFrame, ignore: Collection[str]) -> pa.Table:
    names = [str(name) for name in frame.columns]
    kept = _kept(names, ignore, "the DataFrame")
    places = {name: place for place, name in enumerate(names)}
    columns = [_read_series(name, frame.iloc[:, places[name]]) for name in kept]
    return pa.Table.from_arrays(columns, names=kept)


def _read_series(name: str, series: pd.Series) -> Any:
    try:
        return pa.array(series, from_pandas=True)
    except (*UNREADABLE, TypeError) as error:
        if (texts := _as_texts(series)) is not None:
            return texts
        raise JobError(
            f"column {name!r} of the DataFrame cannot be read: {first_line(error)}"
        ) from None


def _as_texts(series: pd.Series) -> Any:
    """Return numbers among texts, as spreadsheets have them, as texts; None for anything else."""
    present = series.notna().to_numpy()
    values = [value if known else None for value, known in zip(series, present, strict=True)]
    given = [value for value in values if value is not None]
    if not all(isinstance(value, str | int | float | np.number) for value in given):
        return None
    if any(isinstance(value, bool) for value in given):
        return None
    return pa.array([None if value is None else str(value) for value in values], pa.string())


def _kept(names: list[str], ignore: Collection[str], shown: str) -> list[str]:
    _check_names(names, shown)
    known, ignored = set(names), set(ignore)
    for name in ignore:
        if name not in known:
            find_column(name, names, "to ignore")
    return [name for name in names if name not in ignored]


def _check_lengths(table: pa.Table, shown: str) -> None:
    """Refuse texts that are no category: they would be kept with every model."""
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            continue
        length = pc.max(pc.binary_length(column)).as_py() or 0
        if length > LONGEST:
            raise JobError(
                f"{shown}: column {name!r} has a text of {length:,} bytes, but a category has at "
                f"most {LONGEST:,}; leave the column out with ignore"
            )


def _check_names(names: list[str], shown: str) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise JobError(f"{shown} has more than one column called {twice[0]!r}; rename one")


def _breast_cancer() -> pd.DataFrame:
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame
    return frame.drop(columns="target").assign(malignant=frame["target"] == 0)


def _diabetes() -> pd.DataFrame:
    from sklearn.datasets import load_diabetes

    return load_diabetes(as_frame=True).frame.rename(columns={"target": "progression"})


def _wine() -> pd.DataFrame:
    from sklearn.datasets import load_wine

    return load_wine(as_frame=True).frame.rename(columns={"target": "cultivar"})


EMBEDDED: dict[str, Callable[[], pd.DataFrame]] = {
    "breast_cancer": _breast_cancer,
    "diabetes": _diabetes,
    "wine": _wine,
}
