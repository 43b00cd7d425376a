"""Storage as text: paths, URIs with a query, and credentials that do not belong there."""

from pathlib import Path

import pytest

from tune_jobs.engine import JobError, open_experiment
from tune_jobs.engine.storage.folder import open_folder
from tune_jobs.engine.storage.uris import above, join, with_defaults

SECRET = "wJalr/XUtnFEMI"


@pytest.mark.parametrize(
    ("place", "below"),
    [
        ("results", "results/a b?"),
        ("s3://bucket", "s3://bucket/a%20b%3F"),
        ("s3://bucket/p?region=r&scheme=http", "s3://bucket/p/a%20b%3F?region=r&scheme=http"),
        ("hdfs://host:8020/p/?user=u", "hdfs://host:8020/p/a%20b%3F?user=u"),
    ],
)
def test_what_lies_below_a_place_keeps_its_query_at_the_end(place, below) -> None:
    assert join(place, "a b?") == below
    assert join(above(below), "a b?") == below


def test_a_query_is_completed_with_what_it_does_not_say() -> None:
    wanted = {"allow_delayed_open": "true"}
    assert with_defaults("s3://b/p", wanted) == "s3://b/p?allow_delayed_open=true"
    assert with_defaults("s3://b/p?region=r", wanted) == "s3://b/p?region=r&allow_delayed_open=true"
    given = "s3://b/p?allow_delayed_open=false"
    assert with_defaults(given, wanted) == given


@pytest.mark.parametrize(
    "place",
    [
        f"s3://AKIAEXAMPLE:{SECRET}@bucket/results",
        f"s3://{SECRET.replace('/', '')}@bucket/results",
        f"s3://bucket/results?access_key=AKIAEXAMPLE&secret_key={SECRET}",
        f"s3://bucket/results?endpoint_override=user:{SECRET}@host:9000",
        f"gs://bucket/results?access_token={SECRET}",
        f"abfs://:{SECRET}@account.dfs.core.windows.net/container",
        f"hdfs://user:{SECRET}@host/results",
    ],
)
def test_credentials_in_a_uri_are_refused_without_repeating_them(place) -> None:
    with pytest.raises(JobError, match=r"contains .*credentials") as caught:
        open_folder(place)

    assert "XUtnFEMI" not in str(caught.value)
    assert "AKIA" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_may_hold_what_is_special_in_a_uri(tmp_path) -> None:
    folder = open_folder(tmp_path / "user:name@host?x=1")
    folder.create()
    folder.child("a b").create()

    assert (tmp_path / "user:name@host?x=1" / "a b").is_dir()


def test_a_file_uri_and_a_home_and_a_relative_path_are_folders_of_this_machine(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    for place in (f"file://{tmp_path}/r%20s/", f"file:{tmp_path}/r%20s", "~/r s", "r s"):
        folder = open_folder(place)
        assert folder.local_path == tmp_path / "r s"
        assert folder.child("x").uri == str(tmp_path / "r s" / "x")


def test_only_a_folder_of_this_machine_has_a_local_path_and_a_bound_that_is_known(tmp_path) -> None:
    elsewhere = open_folder("mock://bucket/results")

    assert open_folder(tmp_path).free_bytes() > 0
    assert (elsewhere.local_path, elsewhere.free_bytes()) == (None, None)


def test_many_files_are_deleted_at_once_and_those_that_are_not_there_do_not_matter(
    tmp_path,
) -> None:
    folder = open_folder(tmp_path)
    names = [f"{number}" for number in range(50)]
    for name in names:
        folder.write(name, b"")

    folder.delete_all([*names[1:], "never there"])

    assert folder.names() == ["0"]


def test_a_folder_is_removed_if_it_is_empty_and_only_then(tmp_path) -> None:
    folder = open_folder(tmp_path).child("a")
    folder.create()
    folder.write("x", b"")
    folder.delete_if_empty()
    assert folder.names() == ["x"]

    folder.delete("x")
    folder.delete_if_empty()
    assert not Path(folder.path).exists()


@pytest.mark.parametrize("place", ["nonsense://x/y", "s3://", "s3://bucket/p?colour=red"])
def test_a_uri_that_is_not_understood_is_one_line(place) -> None:
    with pytest.raises(JobError, match="storage '") as caught:
        open_experiment(place)

    assert "\n" not in str(caught.value)
