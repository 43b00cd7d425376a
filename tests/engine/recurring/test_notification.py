"""Notifications: what changes is told once, and a receiver that fails never makes a run fail."""

import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_jobs.cli.output import notifying
from tune_jobs.engine.errors import ClusterError, JobError
from tune_jobs.engine.experiments.experiment import Experiment
from tune_jobs.engine.experiments.lease import SkippedError, TakenError
from tune_jobs.engine.recurring.notification import check_targets, state_of, telling
from tune_jobs.engine.storage.folder import Folder, open_folder

SECRET = "T0PSECRET"

# Apprise's first import asks for a module that is going to be removed.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Receiver:
    """A real HTTP server on loopback that keeps what it is sent.

    Attributes:
        answer: the status that it answers with; 0 to close the connection without an answer.
        received: path, headers and content of each request.
    """

    def __init__(self) -> None:
        self.answer = 200
        self.received: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                content = json.loads(body)
                receiver.received.append((self.path, dict(self.headers), content))
                if receiver.answer:
                    self.send_response(receiver.answer)
                    self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hooks/{SECRET}"

    @property
    def events(self) -> list[str]:
        return [content["event"] for _, _, content in self.received]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def server() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def receiver(server) -> Receiver:
    server.answer = 200
    server.received.clear()
    return server


@pytest.fixture
def series(tmp_path) -> Folder:
    return open_folder(tmp_path / ".series" / "nightly")


def nobody() -> str:
    """The URL of a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return f"http://127.0.0.1:{port}/hooks/{SECRET}"


def end(series: Folder, targets: list[str], exit_code: int, **facts: Any) -> None:
    """A run that comes to its end."""
    with telling(lambda: series, targets) as tell:
        tell(exit_code, f"it ended with {exit_code}", facts)


def test_only_changes_are_told(receiver, series) -> None:
    for exit_code in (0, 1, 1, 0, 3, 0):
        end(series, [receiver.url], exit_code)
    assert receiver.events == ["failed", "recovered"]


@pytest.mark.parametrize("exit_code", [0, 3])
def test_the_first_run_of_a_series_that_is_good_is_no_news(receiver, series, exit_code) -> None:
    end(series, [receiver.url], exit_code)
    assert receiver.events == []


@pytest.mark.parametrize("exit_code", [1, 2, 4, 5, 8, 9])
def test_the_first_run_that_fails_is_told(receiver, series, exit_code) -> None:
    end(series, [receiver.url], exit_code, name="nightly-2026-11-28", outcome="same error")

    ((path, headers, content),) = receiver.received
    assert path == f"/hooks/{SECRET}"
    assert headers["Content-Type"] == "application/json"
    assert content["text"] == f"nightly-2026-11-28 failed: it ended with {exit_code}"
    assert (content["event"], content["before"]) == ("failed", None)
    assert (content["exit_code"], content["outcome"]) == (exit_code, "same error")


def test_a_series_is_called_by_its_own_name_where_the_run_has_none(receiver, series) -> None:
    end(series, [receiver.url], 1)
    assert receiver.received[0][2]["name"] == "nightly"


@pytest.mark.parametrize("verdict", ["replace", "inconclusive", "alarm"])
def test_a_verdict_other_than_keep_is_told_once(receiver, series, verdict) -> None:
    for each in (None, "keep", verdict, verdict, verdict):
        end(series, [receiver.url], 0, verdict=each)
    assert receiver.events == [verdict]
    assert receiver.received[0][2]["before"] == "ok"


def test_another_verdict_is_told_and_so_is_keep_after_it(receiver, series) -> None:
    for verdict in ("inconclusive", "replace", "keep", "keep"):
        end(series, [receiver.url], 0, verdict=verdict)
    assert receiver.events == ["inconclusive", "replace", "recovered"]


@pytest.mark.parametrize("exit_code", [6, 7, 10])
def test_a_run_that_is_to_go_on_changes_nothing(receiver, series, exit_code) -> None:
    for code in (exit_code, 0, exit_code, 1, exit_code, 1, exit_code, 0, exit_code):
        end(series, [receiver.url], code)
    assert receiver.events == ["failed", "recovered"]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(range(11)),
            st.sampled_from([None, "keep", "replace", "inconclusive", "alarm"]),
        ),
        max_size=12,
    )
)
def test_what_was_told_is_what_the_series_went_through(server, tmp_path_factory, runs) -> None:
    server.answer, series = 200, open_folder(tmp_path_factory.mktemp("series"))
    server.received.clear()
    states = ["ok"]
    for exit_code, verdict in runs:
        state = state_of(exit_code, verdict)
        states += [state] if state not in (None, states[-1]) else []
        end(series, [server.url], exit_code, verdict=verdict)

    assert server.events == [{"ok": "recovered"}.get(state, state) for state in states[1:]]


def test_without_targets_nothing_is_told_or_noted(receiver, series) -> None:
    end(series, [], 1)
    assert receiver.events == []
    assert not series.exists()


def test_where_the_series_cannot_be_found_each_failure_is_told(receiver) -> None:
    def find_series() -> Folder:
        raise JobError("storage 's3://gone' cannot be reached")

    for _ in range(2):
        with telling(find_series, [receiver.url]) as tell:
            tell(1, "it failed", {})
    assert receiver.events == ["failed", "failed"]


def failing(receiver: Receiver, how: str) -> str:
    """The URL of a receiver that takes nothing."""
    if how == "nobody":
        return nobody()
    receiver.answer = {"answers 500": 500, "answers 404": 404, "closes": 0}[how]
    return receiver.url


HOW = ["answers 500", "answers 404", "closes", "nobody"]


@pytest.mark.parametrize("how", HOW)
def test_a_receiver_that_fails_is_a_warning_without_its_url(receiver, series, caplog, how) -> None:
    target = failing(receiver, how)

    end(series, [target], 1)

    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("notification 1 was not sent: ")
    assert target not in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("how", HOW)
def test_what_did_not_arrive_is_told_after_the_next_run(receiver, series, how) -> None:
    end(series, [failing(receiver, how)], 1)
    receiver.answer = 200
    receiver.received.clear()

    end(series, [receiver.url], 1)
    end(series, [receiver.url], 1)

    assert receiver.events == ["failed"]


def test_a_failure_of_which_nobody_was_told_needs_no_recovery(receiver, series) -> None:
    end(series, [nobody()], 1)
    end(series, [receiver.url], 0)
    assert receiver.events == []


def test_one_of_two_receivers_is_enough(receiver, series, caplog) -> None:
    targets = [nobody(), receiver.url]

    end(series, targets, 1)
    end(series, targets, 1)

    assert receiver.events == ["failed"]
    (record,) = caplog.records
    assert record.getMessage().startswith("notification 1 was not sent: ")


def test_an_exception_is_told_and_goes_on(receiver, series) -> None:
    with pytest.raises(ZeroDivisionError), telling(lambda: series, [receiver.url]):
        _ = 1 / 0

    (content,) = [content for _, _, content in receiver.received]
    assert (content["event"], content["exit_code"]) == ("failed", 1)
    assert content["text"] == "nightly failed: ZeroDivisionError: division by zero"


def test_a_foreseen_mistake_is_told_with_its_exit_code(receiver, series) -> None:
    with pytest.raises(ClusterError), telling(lambda: series, [receiver.url]):
        raise ClusterError("no answer from 10.0.0.1:6379")
    assert receiver.received[0][2]["exit_code"] == 9


def test_an_exception_that_cannot_be_told_goes_on_all_the_same(series) -> None:
    with pytest.raises(ZeroDivisionError), telling(lambda: series, [nobody()]):
        _ = 1 / 0


def test_an_interruption_changes_nothing(receiver, series) -> None:
    with pytest.raises(KeyboardInterrupt), telling(lambda: series, [receiver.url]):
        raise KeyboardInterrupt
    assert receiver.events == []


@pytest.mark.parametrize(
    "error",
    [
        TakenError,
        pytest.param(
            SkippedError,
        ),
    ],
)
def test_a_run_that_found_another_at_work_changes_nothing(receiver, series, error) -> None:
    end(series, [receiver.url], 1)
    with pytest.raises(error), telling(lambda: series, [receiver.url]):
        raise error("nightly-2026-11-28 is in use by process 1 on elsewhere")
    assert receiver.events == ["failed"]


def test_what_was_told_cannot_be_noted_is_a_warning(receiver, tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("x")

    end(open_folder(tmp_path / "file" / "series"), [receiver.url], 1)

    assert receiver.events == ["failed"]
    assert "the state of the series cannot be saved" in caplog.text


@pytest.mark.parametrize("target", [f"{SECRET}/hook", f"carrier-pigeon://{SECRET}/hook"])
def test_a_target_that_cannot_be_told_is_refused_before_the_run(series, target) -> None:
    with pytest.raises(JobError, match="--notify 2") as refused:
        check_targets(["http://127.0.0.1:9/", target])
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)

    begun = False
    with pytest.raises(JobError), telling(lambda: series, [target]):
        begun = True
    assert not begun


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            "/hooks/%s with a space",
            id="space",
        ),
        pytest.param("/hooks/%s\n", id="line"),
    ],
)
def test_a_path_that_cannot_be_sent_is_not_shown(receiver, series, caplog, path) -> None:
    url = f"http://127.0.0.1:{receiver.server.server_port}{path % SECRET}"

    try:
        end(series, [url], 1)
    except JobError as refused:
        assert SECRET not in str(refused)

    assert SECRET not in caplog.text


def test_a_target_that_is_no_url_is_a_foreseen_mistake() -> None:
    with pytest.raises(JobError):
        check_targets([f"http://[{SECRET}"])


def test_apprise_sends_to_whatever_it_knows(receiver, series, caplog) -> None:
    pytest.importorskip("apprise")
    target = f"json://127.0.0.1:{receiver.server.server_port}/hooks/{SECRET}"

    end(series, [target], 1, name="nightly-2026-11-28")
    receiver.answer = 500
    end(series, [target], 0)

    (_, _, first), _ = receiver.received
    assert first["message"] == "nightly-2026-11-28 failed: it ended with 1"
    assert "notification 1 was not sent: OSError" in caplog.text
    assert SECRET not in caplog.text


def test_a_target_that_apprise_does_not_know_is_not_logged(caplog) -> None:
    pytest.importorskip("apprise")
    with pytest.raises(JobError):
        check_targets([f"carrier-pigeon://{SECRET}/hook"])
    assert SECRET not in caplog.text


def ended_retest(place: Path, answer: str) -> Experiment:
    """A retest that has come to its answer."""
    folder = open_folder(place)
    folder.create()
    folder.write_json("experiment.json", {"metric": "loss", "mode": "min"})
    folder.write_json("summary.json", {"outcome": "complete", "seconds": 1.0})
    said = {
        "answer": answer,
        "reason": "it is better",
        "name": folder.name,
        "folder": folder.uri,
        "of": "nightly",
        "time": 1.0,
        "metric": "loss",
        "mode": "min",
        "level": 0.95,
        "incumbent": {"trial": 1, "config": {}},
        "fall": {"is_worse": False, "sentence": "it is as good"},
    }
    folder.write_json("retest.json", said)
    return Experiment(folder)


def test_the_command_line_tells_a_retests_verdict(receiver, tmp_path) -> None:
    options = {
        "name": "{job}-retest",
        "slot": None,
        "storage": str(tmp_path),
        "profile": None,
        "notify": [receiver.url],
    }
    with notifying("nightly-2026-11-28", options) as tell_change:
        tell_change(ended_retest(tmp_path / "nightly-2026-11-28-retest", "replace"))

    assert receiver.events == ["replace"]
