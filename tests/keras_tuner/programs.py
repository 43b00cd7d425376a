"""Random builds: declarations in scopes that are nested in one another, as programs have them."""

import itertools
from dataclasses import dataclass, replace

from hypothesis import strategies as st

from tune_jobs.keras_tuner.hyperparameters import HyperParameters

NAMES = [f"p{number}" for number in range(8)]
PARENTS = ["p0", "p1", "p2", "p3"]


@dataclass(frozen=True)
class Declare:
    name: str
    kind: str
    facts: tuple

    def __call__(self, hp, reached):
        if hp._full(self.name) not in [each.name for each in hp._conditions]:
            getattr(hp, self.kind)(self.name, *self.facts)
            reached.add(hp._full(self.name))


@dataclass(frozen=True)
class Scope:
    parent: str
    places: tuple
    body: tuple

    def __call__(self, hp, reached):
        values = values_at(hp, self.parent, self.places) if hp._full(self.parent) in reached else []
        if values:
            with hp.conditional_scope(self.parent, values):
                run(self.body, hp, reached)


@dataclass(frozen=True)
class Named:
    name: str
    body: tuple

    def __call__(self, hp, reached):
        with hp.name_scope(self.name):
            run(self.body, hp, reached)


@dataclass(frozen=True)
class If:
    """Python's own condition, of which ``hp`` knows nothing."""

    parent: str
    places: tuple
    body: tuple

    def __call__(self, hp, reached):
        is_asked = hp._full(self.parent) in hp.asked
        if is_asked and hp.get(self.parent) in values_at(hp, self.parent, self.places):
            run(self.body, hp, reached)


def values_at(hp: HyperParameters, name, places):
    declared = next(each for each in hp.space if each.name == hp._full(name))
    return [declared.values[place % len(declared.values)] for place in places if declared.values]


def run(body, hp: HyperParameters, reached=None) -> None:
    reached = set() if reached is None else reached
    for each in body:
        each(hp, reached)


KINDS = [
    ("Int", (1, 3)),
    ("Int", (0, 2)),
    ("Int", (16, 64, 16)),
    ("Int", (2, 32, 2, "log")),
    ("Int", (1, 500, None, "log")),
    ("Float", (0.0, 1.0)),
    ("Float", (1e-4, 1e-1, None, "log")),
    ("Float", (0.1, 0.5, 0.1)),
    ("Float", (1.0, 9.0, None, "reverse_log")),
    ("Choice", (("relu", "tanh", "elu"),)),
    ("Choice", ((3, 1, 2),)),
    ("Choice", ((8, 16), False)),
    ("Boolean", ()),
    ("Fixed", (7,)),
]

declarations = st.builds(
    lambda name, kind: Declare(name, *kind), st.sampled_from(NAMES), st.sampled_from(KINDS)
)
places = st.lists(st.integers(0, 3), min_size=1, max_size=2).map(tuple)


def bodies(statements):
    return st.lists(statements, min_size=1, max_size=4).map(tuple)


def nested(inner):
    parent = st.sampled_from(PARENTS)
    return (
        st.builds(Scope, parent, places, bodies(inner))
        | st.builds(Named, st.sampled_from(["a", "b"]), bodies(inner))
        | inner
    )


def nested_ifs(inner):
    return st.builds(If, st.sampled_from(PARENTS), places, bodies(inner)) | inner


roots = st.lists(st.sampled_from(KINDS[:4] + KINDS[9:13]), min_size=1, max_size=4).map(
    lambda kinds: tuple(Declare(PARENTS[n], *kind) for n, kind in enumerate(kinds))
)
scoped = st.builds(
    lambda first, rest: first + rest,
    roots,
    bodies(st.recursive(declarations, nested, max_leaves=8)),
)


def with_own_names(body, count):
    """The program with a name of its own for each declaration."""
    named = []
    for each in body:
        if isinstance(each, Declare):
            named.append(replace(each, name=f"n{next(count)}"))
        else:
            named.append(replace(each, body=with_own_names(each.body, count)))
    return tuple(named)


with_ifs = st.builds(
    lambda first, rest: first + with_own_names(rest, itertools.count()),
    roots,
    bodies(st.recursive(declarations, nested_ifs, max_leaves=8)),
)
