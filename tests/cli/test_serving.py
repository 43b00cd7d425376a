"""A report is served to this machine alone, and rendered anew while a run lasts."""

import math
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import count

import pytest
from click.testing import CliRunner

from tune_jobs.cli import serving
from tune_jobs.cli.main import main
from tune_jobs.cli.serving import make_server
from tune_jobs.engine.errors import JobError


@pytest.fixture
def address() -> Iterator[str]:
    numbers = count(1)
    with make_server(lambda: f"page {next(numbers)}".encode(), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def fetch(address: str, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as answer:
        return answer.read().decode()


def test_a_page_is_rendered_once_while_it_is_fresh(address, monkeypatch) -> None:
    monkeypatch.setattr(serving, "FRESH", 3600.0)
    assert fetch(f"{address}/") == fetch(f"{address}/") == "page 1"


def test_an_old_page_is_rendered_again(address, monkeypatch) -> None:
    monkeypatch.setattr(serving, "FRESH", 0.0)
    monkeypatch.setattr(serving, "MOST_SHARE", math.inf)
    assert [fetch(f"{address}/") for _ in range(3)] == ["page 1", "page 2", "page 3"]


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/", "evil.example:80", 403), ("/../etc/passwd", "localhost:80", 404), ("/", "", 403)],
)
def test_pages_of_others_and_other_paths_get_nothing(address, path, host, status) -> None:
    with pytest.raises(urllib.error.HTTPError, match=str(status)):
        fetch(address + path, Host=host)


def test_only_the_loopback_is_listened_on(address) -> None:
    port = int(address.rpartition(":")[2])
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))  # nobody else has it


def test_a_page_that_cannot_be_rendered_is_one_line_and_the_server_stays(capsys) -> None:
    pages = iter([JobError("no experiment <june>"), b"page"])

    def render() -> bytes:
        page = next(pages)
        if isinstance(page, JobError):
            raise page
        return page

    with make_server(render, 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_address[1]}/"
        with pytest.raises(urllib.error.HTTPError, match="500") as error:
            fetch(address)
        assert "no experiment &lt;june&gt;" in error.value.read().decode()
        assert fetch(address, Host="localhost") == "page"
        server.shutdown()
    assert capsys.readouterr().err == "error: no experiment <june>\n"


@pytest.mark.parametrize("port", ["65536", "-1"])
def test_a_port_that_does_not_exist_is_refused(port) -> None:
    ran = CliRunner().invoke(main, ["report", "june", "--serve", "--port", port])
    assert ran.exit_code == 2
    assert f"--port must be from 0 to 65535, got {port}; see tune-jobs report" in ran.stderr


def test_a_port_that_is_taken_is_one_line(address) -> None:
    port = int(address.rpartition(":")[2])
    with pytest.raises(JobError, match=f"cannot serve on port {port}: "):
        make_server(lambda: b"", port)


def test_what_is_not_there_is_not_served(tmp_path) -> None:
    words = ["report", "june", "--serve", "--storage", str(tmp_path)]
    ran = CliRunner().invoke(main, words, catch_exceptions=False)
    assert ran.exit_code == 2
    assert "no experiment 'june'" in ran.stderr
