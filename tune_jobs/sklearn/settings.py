"""The settings of a search, checked before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.model_selection import check_cv
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing

from tune_jobs.engine.errors import JobError, check_whole_number
from tune_jobs.engine.job.profile import Profile
from tune_jobs.engine.names import check_experiment_name, nearest
from tune_jobs.engine.space.domains import has_domain

# What ``fit`` takes beside the data, a value per row.
PARAMS = ("sample_weight", "groups")
SPLITTER, SCORER = "splitter", "scorer_"


def check_settings(search: BaseEstimator) -> None:
    """Refuse settings that no search can have.

    Raises:
        JobError: naming the setting, its value and the rule.
    """
    if not callable(search.build):
        raise JobError(f"build is {search.build!r}, but must be a function build(config)")
    check_whole_number("n_iter", search.n_iter, 1)
    check_whole_number("epochs", search.epochs, 1)
    if search.patience is not None:
        check_whole_number("patience", search.patience, 1)
    if search.error_score != "raise" and not isinstance(search.error_score, int | float):
        raise JobError(f"error_score is {search.error_score!r}, but must be a number or 'raise'")
    if not isinstance(search.callbacks, list | tuple):
        raise JobError(f"callbacks is {search.callbacks!r}, but must be a list of Keras callbacks")
    if search.profile is not None and not isinstance(search.profile, Profile):
        raise JobError(
            f"profile is {search.profile!r}, but must be a Profile; load_profile(name) reads one"
        )
    check_experiment_name(search.name)
    _check_space(search.space)


def _check_space(space: Any) -> None:
    """Refuse a space without a domain, and what scikit-learn has in place of one."""
    if not isinstance(space, dict) or not space:
        raise JobError(f"space is {space!r}, but must be a dict of name -> domain, not empty")
    for name, value in space.items():
        if isinstance(value, list) and not any(isinstance(each, dict) for each in value):
            raise JobError(f"space has a list for {name!r}; write tune.choice({value!r})")
        if hasattr(value, "rvs"):
            raise JobError(
                f"space has a distribution of scipy for {name!r}; write tune.uniform(low, high), "
                "tune.loguniform(low, high) or tune.randint(low, high)"
            )
    if not has_domain(space):
        names = ", ".join(map(str, space))
        raise JobError(
            f"space has no hyperparameter to search, only constants ({names}); "
            "write tune.choice([...]), tune.loguniform(low, high) or the like for one of them"
        )


def make_router(search: BaseEstimator, scorers: Mapping[str, Any]) -> MetadataRouter:
    """Return who gets what ``fit`` is given: the search itself, the splitter, the scorers."""
    router = MetadataRouter(owner=search).add_self_request(search)
    mapping = MethodMapping().add(caller="fit", callee="split")
    router.add(**{SPLITTER: check_cv(search.cv)}, method_mapping=mapping)
    for name, scorer in scorers.items():
        if hasattr(scorer, "get_metadata_routing"):
            mapping = MethodMapping().add(caller="fit", callee="score")
            router.add(**{f"{SCORER}{name}": scorer}, method_mapping=mapping)
    return router


def route(search: BaseEstimator, params: Mapping[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    """Return the weights of rows, what the splitter gets, and what each scorer gets by its name.

    Raises:
        TypeError: for an argument that nobody takes.
    """
    from sklearn import get_config

    if not get_config()["enable_metadata_routing"]:
        for name in params:
            if name not in PARAMS:
                raise TypeError(
                    f"fit() got an unknown argument {name!r}{nearest(name, PARAMS)} "
                    f"Known: {', '.join(PARAMS)}"
                )
        return params.get("sample_weight"), {"groups": params.get("groups")}, {}
    routed = process_routing(search, "fit", **params)
    requests = search._get_metadata_request().fit
    own = requests._route_params(params=params, parent=search, caller="fit")
    scored = {
        name.removeprefix(SCORER): found.score
        for name, found in routed.items()
        if name.startswith(SCORER)
    }
    return own.get("sample_weight"), routed[SPLITTER].split, scored
