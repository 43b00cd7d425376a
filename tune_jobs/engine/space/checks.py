"""Refuse spaces that could not be searched, when a job is loaded."""

from __future__ import annotations

from tune_jobs.engine.errors import JobError, is_finite, reason_of
from tune_jobs.engine.formatting import shortened
from tune_jobs.engine.plain import whole
from tune_jobs.engine.space.configs import children, join
from tune_jobs.engine.space.domains import Choice, Grid, Normal, Range, domain_of, walk

# Levels of nesting in a space.
MOST_LEVELS = 100

# Bounds of integers, which numpy draws with 64 bits.
MOST_INTEGER = 2**62


def check_space(space: object) -> None:
    """Refuse a space that could not be searched, naming the hyperparameter and the rule.

    Raises:
        JobError: if it is anything but a dict with text keys, or has bounds that are reversed,
            equal or not finite, a log range that is not positive, a step larger than its range, an
            empty choice or an empty grid, nests too deeply, has a list of values that looks like a
            choice, or a value that cannot be sent to another process.
    """
    if not isinstance(space, dict) or not space:
        raise JobError(f"the space must be a dict of name -> domain, not empty, got {space!r}")
    _check_depth(space)
    _check_lists("", space)
    for label, part in walk(space):
        _check_part(label, part)


def _check_lists(label: str, part: object) -> None:
    """Refuse a list of values in place of a choice; options of a choice may be lists."""
    domain = domain_of(part)
    if isinstance(domain, Choice):
        for option in domain.options:
            if isinstance(option, dict):
                _check_lists(label, option)
    elif domain is None and isinstance(part, dict):
        for name, value in part.items():
            _check_lists(join(label, str(name)), value)
    elif isinstance(part, list) and len(part) > 1 and all(map(_is_value, part)):
        shown = shortened(repr(part))
        raise JobError(
            f"{label} is a list of values, {shown}; to choose one of them write "
            f"tune.choice({shown}), and to pass all of them a tuple"
        )


def _is_value(part: object) -> bool:
    return part is None or isinstance(part, str | bool | int | float)


def _check_depth(space: object) -> None:
    """Refuse a space that functions which call themselves could not walk."""
    left = [("", space, 0)]
    while left:
        label, part, depth = left.pop()
        if depth > MOST_LEVELS:
            raise JobError(
                f"the space is nested more than {MOST_LEVELS} levels deep, at {shortened(label)}"
            )
        domain = domain_of(part)
        if isinstance(domain, Choice | Grid):
            options = domain.options if isinstance(domain, Choice) else domain.values
            left += [(label, option, depth + 1) for option in options]
        else:
            left += [(join(label, str(name)), c, depth + 1) for name, c in children(part)]


def _check_part(label: str, part: object) -> None:
    match domain_of(part):
        case Choice(options) if not options:
            raise JobError(f"{label}: choice([]) has no values to choose from")
        case Grid() as grid if not grid.values:
            raise JobError(f"{label}: {grid.as_code()} must have a list of at least one value")
        case Range() as found:
            _check_bounds(label, found)
            _check_step(label, found)
        case Normal() as found:
            _check_normal(label, found)
        case None if isinstance(part, dict):
            _check_names(label, part)
        case None if not children(part):
            check_sendable(label, part)


def check_sendable(name: str, value: object) -> None:
    """Refuse a value that cannot be sent to the workers, which are other processes.

    Raises:
        JobError: naming it.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return
    from ray import cloudpickle

    try:
        cloudpickle.dumps(value)
    except Exception as error:  # noqa: BLE001  # whatever the value's own code raises
        raise JobError(
            f"{name}: {type(value).__name__} cannot be sent to the workers: {reason_of(error)}; "
            "create it inside the trainable"
        ) from None


def _check_names(label: str, names: dict[object, object]) -> None:
    where = label or "the space"
    for name in names:
        if not isinstance(name, str) or not name:
            raise JobError(f"{where}: hyperparameter names must be non-empty strings, got {name!r}")
        if whole(name) != name:
            raise JobError(f"{where}: hyperparameter names must be valid Unicode, got {name!r}")


def _check_bounds(label: str, found: Range) -> None:
    for bound in (found.lower, found.upper):
        if not is_finite(bound):
            raise JobError(
                f"{label}: a range must have two finite bounds, got {shortened(repr(bound))}"
            )
        if found.is_integer and (bound != int(bound) or abs(bound) > MOST_INTEGER):
            raise JobError(
                f"{label}: a range of integers must have bounds that are integers of 64 bits, got "
                f"{bound!r}"
            )
    shown = f"{label}: {found.as_code()}"
    if found.lower >= found.upper:
        raise JobError(f"{shown} must have a lower bound below its upper bound")
    if found.spacing == "log" and found.lower <= 0:
        raise JobError(f"{shown} is logarithmic, so its lower bound must be above 0")


def _check_normal(label: str, found: Normal) -> None:
    if not (is_finite(found.mean) and is_finite(found.deviation) and found.deviation > 0):
        raise JobError(
            f"{label}: a normal distribution must have a finite mean and a standard deviation "
            f"above 0, got {shortened(repr((found.mean, found.deviation)))}"
        )
    if found.step is not None and not (is_finite(found.step) and found.step > 0):
        raise JobError(f"{label}: {found.as_code()} must have a step above 0")


def _check_step(label: str, found: Range) -> None:
    step, width = found.step, found.upper - found.lower
    if step is None:
        return
    if not is_finite(step):
        raise JobError(f"{label}: a step must be a finite number, got {shortened(repr(step))}")
    shown = f"{label}: {found.as_code()}"
    if not 0 < step <= width * (1 + 1e-9):
        raise JobError(f"{shown} has step {step:g}, but its range is only {width:g}")
    if not found.is_multiple(found.lower):
        raise JobError(
            f"{shown} gives multiples of {step:g}, and {found.lower:g} is not one; "
            f"write tune.choice([{found.lower:g}, {found.lower + step:g}, ...])"
        )
