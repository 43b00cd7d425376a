"""YAML with lines: each key is where it is said to be, and what is no YAML is refused."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.lint.located import Document, NotYamlError, dotted, read_documents

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple),
    max_leaves=25,
)


def named(tree, count):
    """The tree with a name for each tuple's element that stands nowhere else: k0k, k1k, ..."""
    if isinstance(tree, tuple):
        return {f"k{next(count)}k": named(inner, count) for inner in tree}
    if isinstance(tree, list):
        return [named(inner, count) for inner in tree]
    return tree if not isinstance(tree, str) else tree.replace("k", "")


def all_keys(content, keys=()):
    inner = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in inner:
        yield (*keys, key)
        if isinstance(value, dict | list):
            yield from all_keys(value, (*keys, key))


def read(text: str) -> list[Document]:
    return read_documents("a.yaml", text)


@given(TREES.map(lambda tree: (tree,)), st.sampled_from([True, False, None]), st.integers(20, 80))
def test_every_key_stands_on_the_line_that_is_said(tree, flow, width) -> None:
    content = named(tree, iter(range(10_000)))
    text = yaml.safe_dump(content, default_flow_style=flow, width=width, sort_keys=False)

    (document,) = read("# a comment\n\n" + text)

    lines = ("# a comment\n\n" + text).split("\n")
    assert document.content == content == yaml.safe_load(text)
    for keys in all_keys(content):
        if isinstance(keys[-1], str):
            assert keys[-1] in lines[document.line(*keys) - 1]


def test_each_document_knows_its_lines_in_the_whole_file() -> None:
    first, second = read("a: 1\n---\n# nothing\n---\n\nb:\n  - 1\n  - c: 2\n")

    assert first.content == {"a": 1}
    assert [second.line("b"), second.line("b", 0), second.line("b", 1, "c")] == [6, 7, 8]


def test_what_is_absent_stands_at_the_nearest_key_around_it() -> None:
    (document,) = read("# why\na:\n  b: 1\n")

    assert document.line("a", "b", "c") == 3
    assert document.line("a", "x") == 2
    assert document.line("x") == document.line() == 2


def test_a_key_that_stands_twice_is_found_at_its_second_line() -> None:
    (document,) = read("a:\n  b: 1\n  c: 2\n  b: 3\n")

    assert document.content == {"a": {"b": 3, "c": 2}}
    (finding,) = document.repetitions()
    assert (finding.line, finding.text[:17]) == (4, "a.b is repeated: ")


def test_merged_keys_are_there_with_the_lines_where_they_are_written() -> None:
    text = "base: &base\n  a: 1\n  b: 2\nmine:\n  b: 3\n  <<: *base\nboth:\n  <<: [{a: 5}, *base]\n"
    (document,) = read(text)

    assert document.content == yaml.safe_load(text)
    assert [document.line("mine", key) for key in "ab"] == [2, 5]
    assert document.repeated == ()


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: [", 2, "expected the node content"),
        ("a: 1\nb: !Ref c", 2, "could not determine a constructor for the tag '!Ref'"),
        ("a: 1\nb: 2026-13-45", 2, "month must be in 1..12"),
        ("a: 1\n? [b]\n: 2", 2, "a key that is a list or a mapping"),
        ("a: 1\nb: &b [*b]", 2, "an anchor that contains itself"),
        ("a: 1\nb:\n  <<: 2", 3, "<< must name a mapping"),
        ("a: 1\n\tb: 2", 2, "cannot start any token"),
        ("a: \x00", 1, "not allowed"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(text, line, problem) -> None:
    with pytest.raises(NotYamlError, match=f":{line}: not YAML: ") as caught:
        read(text)

    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.finding.line == line


def test_the_way_to_a_value_is_written_as_one_would() -> None:
    assert dotted(("provider", "ips", 2, "a")) == "provider.ips[2].a"
    assert dotted(()) == ""
