"""The tuner of a KerasTuner program: it turns ``search`` into a job of the engine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.job.profile import Profile, load_profile
from tune_jobs.engine.names import nearest, refuse_unknown
from tune_jobs.keras_tuner.errors import FatalTypeError
from tune_jobs.keras_tuner.hypermodel import HyperModel, as_hypermodel, has_own_fit, program_of
from tune_jobs.keras_tuner.hyperparameters import HyperParameters
from tune_jobs.keras_tuner.oracle import Oracle, WorkerOracle, arguments_of
from tune_jobs.keras_tuner.project import Project, locate_project
from tune_jobs.keras_tuner.searching import Search
from tune_jobs.keras_tuner.summaries import print_results, print_space
from tune_jobs.keras_tuner.trials import Trial, read_trials

if TYPE_CHECKING:
    from tune_jobs.engine.experiments.experiment import Experiment
    from tune_jobs.engine.job.finalists import Finalists

# Settings that some tuners have and others do not.
ALL_SETTINGS = (
    *("max_trials", "max_epochs", "factor", "hyperband_iterations", "num_initial_points"),
    *("alpha", "beta"),
)

DEFAULT_PROJECT = "untitled_project"


class Tuner:
    """Searches the hyperparameters of a model; a subclass may train in ``run_trial``.

    Attributes:
        oracle: the settings of the search, and its trials.
        hypermodel: builds the models; None if ``run_trial`` does.
        project_name: the name of the experiment.
        directory: the folder of the experiment.
        executions_per_trial: how often each configuration is trained, with other seeds.
    """

    def __init__(
        self,
        oracle: Oracle | None = None,
        hypermodel: Any = None,
        max_model_size: int | None = None,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        distribution_strategy: Any = None,
        directory: str | os.PathLike[str] | None = None,
        project_name: str | None = None,
        logger: Any = None,  # noqa: ARG002  # trackers of the engine do that
        tuner_id: str | None = None,  # noqa: ARG002  # the engine numbers its workers
        overwrite: bool = False,
        executions_per_trial: int = 1,
        *,
        profile: Profile | str | None = None,
        cv: int | None = None,
        finalists: Finalists | None = None,
        **unknown: Any,
    ) -> None:
        """Prepare a search; the space is found by building models with several values.

        Args:
            oracle: what chooses configurations.
            hypermodel: a function ``build(hp)``, or a hypermodel.
            max_model_size: the most parameters of a model; a larger one fails its trial.
            optimizer: in place of that of the compiled models.
            loss: in place of theirs.
            metrics: in place of theirs.
            distribution_strategy: not used: ``profile`` gives a trial its GPUs.
            directory: where the project's folder lies; the default is the current folder.
            project_name: the folder's name; one that exists is continued.
            logger: not used.
            tuner_id: not used.
            overwrite: whether to delete a project of that name first.
            executions_per_trial: how often each configuration is trained.
            profile: the machines, as a profile of the engine or its name.
            cv: how many folds each configuration is trained on.
            finalists: how the winner is chosen among the best; the default is the best score.
            **unknown: refused.

        Raises:
            JobError: for an argument that is not as it must be, and for a ``build`` that fails.
        """
        _refuse(unknown, type(self))
        if oracle is None:
            raise JobError(
                "a kt.Tuner needs an oracle, such as kt.oracles.RandomSearch(objective='val_loss')"
            )
        if distribution_strategy is not None:
            raise JobError(
                "distribution_strategy is not used: a profile with gpus_per_trial gives each trial "
                "its GPUs, and a model is mirrored on two or more; give profile="
            )
        check_whole_number("executions_per_trial", executions_per_trial, 1)
        if cv is not None:
            check_whole_number("cv", cv, 2)
        self.oracle: Any = oracle
        self.hypermodel: HyperModel | None = as_hypermodel(hypermodel)
        if self.hypermodel is None and not self.runs_own_trials:
            raise JobError("hypermodel is missing; give a function build(hp) or a kt.HyperModel")
        self.max_model_size, self.executions_per_trial = max_model_size, executions_per_trial
        self.optimizer, self.loss, self.metrics = optimizer, loss, metrics
        self.cv, self.finalists = cv, finalists
        directory, self.project_name = locate_project(directory, project_name or DEFAULT_PROJECT)
        self.worker: Any = None
        self._profile = _profile(profile, directory)
        self.directory = self._profile.storage
        self._project = Project(self._profile, self.project_name)
        if overwrite:
            self._project.delete()
        oracle.hyperparameters = self._find_space()
        oracle.read = self._read_trials

    def search(self, *args: Any, **kwargs: Any) -> None:
        """Search with the arguments of ``model.fit``; what a project has already is kept.

        Raises:
            JobError: for a mistake in the arguments or in the program.
            FatalError: if the program raises one.
            RuntimeError: if one trial after another fails.
        """
        self._search.run(args, kwargs)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Build and train the models of a trial, on a worker.

        Returns:
            What ``fit`` returned, a list of it if there are several executions.
        """
        if self.worker is None:
            raise RuntimeError("run_trial is called on a worker, by search")
        return self.worker.train(args, kwargs)

    def build_model(self, hp: HyperParameters) -> Any:
        """Build a model, and compile it with what this tuner was given."""
        if self.hypermodel is None:
            raise FatalTypeError("the tuner has no hypermodel; build the model in run_trial")
        model = self.hypermodel.build(hp)
        given = {"optimizer": self.optimizer, "loss": self.loss, "metrics": self.metrics}
        own = {name: value for name, value in given.items() if value is not None}
        if own and hasattr(model, "compile"):
            _compile_again(model, own)
        return model

    def fit_model(self, hp: HyperParameters, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Train a model as the program does."""
        if self.hypermodel is None:
            return model.fit(*args, **kwargs)
        return self.hypermodel.fit(hp, model, *args, **kwargs)

    @refuse_unknown("tuner")
    def get_best_hyperparameters(self, num_trials: int = 1) -> list[HyperParameters]:
        """Return the hyperparameters of the best trials, the best first."""
        return [trial.hyperparameters for trial in self.oracle.get_best_trials(num_trials)]

    @refuse_unknown("tuner")
    def get_best_models(self, num_models: int = 1) -> list[Any]:
        """Return the models of the best trials, with the weights of their best epochs.

        Raises:
            JobError: if a trial's weights were not kept.
        """
        return [self.load_model(trial) for trial in self.oracle.get_best_trials(num_models)]

    def load_model(self, trial: Trial) -> Any:
        """Return the model of a trial, with the weights of its best epoch.

        Raises:
            JobError: if they were not kept, or the model does not know its inputs.
        """
        model = self.build_model(trial.hyperparameters.copy())
        if not model.built and self._search.example is not None:
            model(self._search.example)
        return self._project.load_weights(model, trial)

    @refuse_unknown("tuner")
    def results_summary(self, num_trials: int = 10) -> None:
        """Print the best trials."""
        print_results(self._project.folder.uri, self.oracle, num_trials)

    @refuse_unknown("tuner")
    def search_space_summary(self, extended: bool = False) -> None:
        """Print the hyperparameters; ``extended`` is KerasTuner's, and changes nothing."""
        del extended
        print_space(self.oracle.hyperparameters)

    def reload(self) -> None:
        """Read what the project has by now; results are read anew whenever asked for."""

    @property
    def experiment(self) -> Experiment:
        """The engine's experiment: its tables, verdict and report."""
        return self._project.experiment

    @property
    def project_dir(self) -> str:
        """The folder of the experiment."""
        return str(self._project.folder.uri)

    @property
    def remaining_trials(self) -> int | None:
        """How many trials are left, None if there is no limit."""
        most = self.oracle.max_trials
        return None if most is None else max(most - len(self.oracle.trials), 0)

    @property
    def runs_own_trials(self) -> bool:
        """True if the program has a ``run_trial`` of its own."""
        return type(self).run_trial is not Tuner.run_trial

    @property
    def is_free(self) -> bool:
        """True if the program trains in a way of its own, with whatever arguments it takes."""
        return self.runs_own_trials or has_own_fit(self.hypermodel)

    @property
    def program(self) -> Any:
        """What the program has written: a function, or a class."""
        return type(self) if self.hypermodel is None else program_of(self.hypermodel)

    @cached_property
    def _search(self) -> Search:
        return Search(self, self._project)

    def _find_space(self) -> HyperParameters:
        from tune_jobs.keras_tuner.probing import find_space

        oracle, given = self.oracle, self.oracle.hyperparameters
        if self.hypermodel is None:
            return given  # type: ignore[no-any-return]
        return find_space(
            self._build_checked,
            given,
            tune_new=oracle.tune_new_entries and self.hypermodel.tunable,
            allow_new=oracle.allow_new_entries,
            may_be_empty=self.is_free,
            seed=oracle.seed or 0,
        )

    def _build_checked(self, hp: HyperParameters) -> Any:
        """Build a model while the space is probed, and refuse what no trial could train.

        Raises:
            JobError: if it is no model, or nothing has compiled it.
        """
        import keras

        model = self.build_model(hp)
        if not isinstance(model, keras.Model):
            raise JobError(
                f"build returned a {type(model).__name__}, but must return a keras.Model"
            )
        if not self.is_free and not model.compiled:
            raise JobError("build returned a model that is not compiled; call model.compile in it")
        return model

    def _read_trials(self) -> dict[str, Trial]:
        return read_trials(
            self._project.experiment,
            self.oracle.hyperparameters,
            self.oracle.objective,
            self.oracle.joined,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the project, and what searches it, out of what travels to workers."""
        local = {"_project", "_profile", "_search", "worker", "finalists"}
        return {name: value for name, value in vars(self).items() if name not in local}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Become the tuner of a worker."""
        vars(self).update(state)
        oracle = self.oracle
        self.worker = None
        self.oracle = WorkerOracle(oracle, self._note)

    def _note(self, metrics: Mapping[str, Any]) -> None:
        if self.worker is not None:
            self.worker.note(metrics)


def _refuse(unknown: Mapping[str, Any], tuner: type) -> None:
    """Refuse unknown arguments.

    Raises:
        JobError: naming the first, and the nearest known one.
    """
    for name in unknown:
        known = arguments_of(tuner)
        if name in ALL_SETTINGS:
            raise JobError(
                f"{tuner.__name__} has no argument {name!r}, which other tuners have; it has: "
                f"{', '.join(known)}"
            )
        raise JobError(f"unknown argument {name!r}{nearest(name, known)}")


def _profile(given: Profile | str | None, directory: Any) -> Profile:
    """Return the profile of a search; its storage is the directory if a program names one."""
    if isinstance(given, str):
        given = load_profile(given)
    if given is not None and not isinstance(given, Profile):
        raise JobError(f"profile is {given!r}, but must be a Profile or the name of one")
    if directory is not None:
        return replace(given or Profile(), storage=os.fspath(directory) or ".")
    return given or Profile(storage=".")


def _compile_again(model: Any, given: Mapping[str, Any]) -> None:
    """Compile a model with some arguments in place of its own."""
    import keras

    own = model.get_compile_config() or {} if getattr(model, "compiled", False) else {}
    if own:
        own = keras.saving.deserialize_keras_object(own)
    fresh = dict(given)
    optimizer = fresh.get("optimizer")
    if isinstance(optimizer, keras.optimizers.Optimizer):  # each model has its own
        fresh["optimizer"] = type(optimizer).from_config(optimizer.get_config())
    model.compile(**{**own, **fresh})
