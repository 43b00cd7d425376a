"""S3 as pyarrow knows it, with a bound for waiting, and as patient in a worker as in the driver."""

from __future__ import annotations

from pyarrow import fs

# Seconds without a byte after which a request is made again; pyarrow alone may wait for minutes.
SILENT = 5.0

# A request that fails for a reason that may pass is made so often. The pauses double from 25 ms:
# all together a store may refuse for 25 s, or be silent for longer.
PATIENT, IMPATIENT = 10, 3


class PatientS3(fs.S3FileSystem):  # type: ignore[misc]  # pyarrow has no types
    """S3 that stays patient when it is pickled for a worker: pyarrow's own forgets its retries."""

    def create_dir(self, path: str, *, recursive: bool = True) -> None:
        """Nothing: S3 has no folders, and what stands for one costs a request per level."""

    def __reduce__(self) -> tuple[object, ...]:
        """Return what a worker builds its own from, without credentials."""
        _, (options,) = super().__reduce__()
        return patient, (options,)


def patient(options: dict[str, object]) -> PatientS3:
    """Open an S3 file system for the time of a run."""
    retries = fs.AwsDefaultS3RetryStrategy(max_attempts=PATIENT)
    return PatientS3(**_bounded(options), retry_strategy=retries)


def impatient(options: dict[str, object]) -> fs.S3FileSystem:
    """Open an S3 file system that soon reports a store that cannot be reached."""
    retries = fs.AwsStandardS3RetryStrategy(max_attempts=IMPATIENT)
    return fs.S3FileSystem(**_bounded(options), retry_strategy=retries)


def options_of(filesystem: fs.S3FileSystem) -> dict[str, object]:
    """Return the options of a file system, the endpoint of its environment included."""
    _, (options,) = filesystem.__reduce__()
    return dict(options)


def _bounded(options: dict[str, object]) -> dict[str, object]:
    return options | {
        "connect_timeout": SILENT,
        "request_timeout": SILENT,
        "check_directory_existence_before_creation": True,
    }
