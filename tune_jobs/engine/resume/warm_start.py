"""Read results of other searches, from which a searcher can learn before it starts.

Sources: an experiment, a table of configs with scores, a KerasTuner project, an Optuna database.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.errors import JobError, reason_of
from tune_jobs.engine.experiments.experiment import open_experiment
from tune_jobs.engine.formatting import shortened
from tune_jobs.engine.plain import as_number, parse_json
from tune_jobs.engine.resume.past import KnownResult
from tune_jobs.engine.space.configs import Config, unflatten
from tune_jobs.engine.space.membership import NotInSpaceError
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.storage.uris import above, path_of

if TYPE_CHECKING:
    from tune_jobs.engine.job.job import Job

Result = tuple[Config, float]
DATABASES = (".db", ".sqlite", ".sqlite3")


def read_results(
    source: str, job: Job, storage: str, defaults: Mapping[str, object]
) -> tuple[list[KnownResult], list[str]]:
    """Read results for the searcher, and one line for each config outside the job's space.

    Args:
        source: an experiment (path, URI or name in ``storage``), a ``.csv`` or ``.parquet`` file
            with a column for the score and one for each hyperparameter, the folder of a KerasTuner
            project, or an Optuna database (a file, or a URL; ``...#study`` if it has several).
        job: the job, to whose space the configs have to belong.
        storage: the folder or URI in which experiments are found by name.
        defaults: values, by dotted name, of hyperparameters that the configs do not have.

    Raises:
        JobError: if the source cannot be read, or has another metric or mode.
    """
    results, left_out = [], []
    for number, (config, score) in enumerate(_read(source, job, storage), 1):
        try:
            own = job.read_config(config, defaults)
        except NotInSpaceError as reason:
            left_out.append(f"result {number} of {source}: {reason}")
            continue
        if math.isfinite(score):
            results.append(KnownResult(own, score))
    return results, left_out


def _read(source: str, job: Job, storage: str) -> Iterator[Result]:
    path = Path(path_of(source.partition("#")[0]))
    if path.suffix in (".csv", ".parquet"):
        return _read_table(source, job)
    if path.suffix in DATABASES or "sqlite://" in source:
        return _read_optuna(source, job)
    if path.is_dir() and any(path.glob("trial_*/trial.json")):
        return _read_keras_tuner(path, job)
    return _read_experiment(source, job, storage)


def _read_experiment(source: str, job: Job, storage: str) -> Iterator[Result]:
    experiment = open_experiment(source, storage)
    for name in ("metric", "mode"):
        there, here = getattr(experiment.description, name), getattr(job.goal, name)
        if there != here:
            raise JobError(f"{source} has {name} {there!r}, but the job has {here!r}")
    for row in experiment.trials.itertuples():
        if row.state != "failed" and row.value == row.value:
            yield experiment.configs[row.trial], float(row.value)


def _read_table(source: str, job: Job) -> Iterator[Result]:
    import pandas as pd

    place, name = open_folder(above(source) or "."), path_of(source).rpartition("/")[2]
    if not place.is_file(name):
        raise JobError(f"no such file: {source!r}")
    read = pd.read_csv if name.endswith(".csv") else pd.read_parquet
    try:
        with place.filesystem.open_input_file(f"{place.path}/{name}") as stream:
            frame = read(stream)
    except (OSError, ValueError) as error:
        raise JobError(f"{source} cannot be read: {reason_of(error)}") from None
    scores = [column for column in (job.metric, "value", "score") if column in frame.columns]
    if not scores:
        raise JobError(
            f"{source} has no column {job.metric!r}, 'value' or 'score'; "
            f"it has {', '.join(map(str, frame.columns))}"
        )
    prefixed = [column for column in frame.columns if str(column).startswith("config.")]
    columns = prefixed or [column for column in frame.columns if column != scores[0]]
    for row in frame.to_dict("records"):
        flat = {str(c).removeprefix("config."): _whole(row[c]) for c in columns}
        there = {name: value for name, value in flat.items() if value is not None}
        if not pd.isna(row[scores[0]]):
            yield unflatten(there), _as_score(row[scores[0]], f"{source}: {scores[0]}")


def _as_score(value: object, name: str) -> float:
    score = as_number(value)
    if score is None:
        raise JobError(f"{name} must be a number in each row, got {shortened(repr(value))}")
    return score


def _read_keras_tuner(project: Path, job: Job) -> Iterator[Result]:
    for file in sorted(project.glob("trial_*/trial.json")):
        try:
            trial = parse_json(file.read_bytes())
            score, values = trial["score"], dict(trial["hyperparameters"]["values"])
        except (OSError, ValueError, KeyError, TypeError):
            raise JobError(f"{file} is not a KerasTuner trial") from None
        _check_reported(project, trial, job.metric)
        if score is not None:
            # "tuner/epochs" and the like are the tuner's own.
            own = {name: value for name, value in values.items() if not name.startswith("tuner/")}
            yield unflatten(own), _as_score(score, f"{file}: score")


def _check_reported(project: Path, trial: Mapping[str, Any], metric: str) -> None:
    """Refuse a project whose trials report metrics, but not the job's."""
    found = trial.get("metrics")
    reported = found.get("metrics") if isinstance(found, dict) else None
    if isinstance(reported, dict) and reported and metric not in reported:
        known = ", ".join(sorted(map(str, reported)))
        raise JobError(f"{project} has no metric {metric!r}; its trials report {known}")


def _read_optuna(source: str, job: Job) -> Iterator[Result]:
    try:
        import optuna
    except ModuleNotFoundError:
        raise JobError(f"reading {source} needs Optuna: pip install 'tune-jobs[optuna]'") from None
    place, _, name = source.partition("#")
    if "://" not in place:
        if not Path(place).is_file():
            raise JobError(f"no such file: {place!r}")
        place = f"sqlite:///{Path(place).absolute()}"
    try:
        names = [str(each) for each in optuna.get_all_study_names(place)]
        if name not in names and (name or len(names) != 1):
            raise JobError(f"{source}: add #STUDY; studies: {', '.join(names) or 'none'}")
        study = optuna.load_study(study_name=name or names[0], storage=place)
        direction = study.direction.name
        trials = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
    except JobError:
        raise
    except Exception as error:  # noqa: BLE001  # of Optuna, SQLAlchemy or the database
        raise JobError(f"{source} cannot be read by Optuna: {reason_of(error)}") from None
    if direction != {"min": "MINIMIZE", "max": "MAXIMIZE"}[job.goal.mode]:
        raise JobError(
            f"{source} has direction {direction.lower()}, but the job has mode {job.goal.mode!r}"
        )
    for trial in trials:
        if trial.value is not None:
            yield unflatten(trial.params), _as_score(trial.value, f"{source}: trial {trial.number}")


def _whole(value: Any) -> Any:
    """Return a cell as a Python value: whole floats as integers, None for a missing value."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float):
        return None if math.isnan(value) else int(value) if value.is_integer() else value
    return None if value is None or repr(value) in ("<NA>", "NaT") else value
