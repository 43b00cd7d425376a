"""Serve a report to this machine's browser, rendered anew when the experiments have moved on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tune_jobs.cli.output import echo

HOST = "127.0.0.1"
# Names by which a browser on this machine asks; any other is a page of somebody else's.
NAMES = (HOST, "localhost")
# A page is rendered at most once in this time, and at most for this share of it.
FRESH, MOST_SHARE = 5.0, 0.2


class Pages:
    """Renders a page on request, and keeps it for a while, since rendering takes seconds.

    Args:
        render: returns the page.
    """

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._lock = threading.Lock()
        self._page = b""
        self._until = 0.0

    def page(self) -> bytes:
        """Return the page."""
        with self._lock:
            began = time.monotonic()
            if began >= self._until:
                self._page = self._render()
                took = time.monotonic() - began
                self._until = time.monotonic() + max(FRESH, took / MOST_SHARE)
            return self._page


class Handler(BaseHTTPRequestHandler):
    """Answers requests for the page."""

    server: Server

    def do_GET(self) -> None:
        """Answer with the page, if a browser of this machine asks for it by name."""
        name = self.headers.get("Host", "").partition(":")[0]
        with suppress(ConnectionError):  # the browser did not wait
            if name not in NAMES:
                self.send_error(HTTPStatus.FORBIDDEN)
            elif self.path != "/":
                self.send_error(HTTPStatus.NOT_FOUND)
            else:
                self._answer()

    def _answer(self) -> None:
        """Send the page; if it cannot be rendered, say why, here and in the browser."""
        from tune_jobs.engine.errors import JobError, reason_of

        try:
            page = self.server.pages.page()
        except (JobError, OSError) as error:  # such as an experiment that was deleted
            echo(f"error: {reason_of(error)}", err=True)
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=reason_of(error))
        else:
            self._send(page)

    def _send(self, page: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Print no line per request."""


class Server(ThreadingHTTPServer):
    """A server for this machine that answers with one page.

    Args:
        pages: renders it.
        port: of the loopback address; 0 for one that is free.
    """

    def __init__(self, pages: Pages, port: int) -> None:
        super().__init__((HOST, port), Handler)
        self.pages = pages


def make_server(render: Callable[[], bytes], port: int) -> Server:
    """Make a server for this machine that answers with one page.

    Args:
        render: returns the page.
        port: of the loopback address; 0 for one that is free.

    Raises:
        JobError: if the port is taken.
    """
    from tune_jobs.engine.errors import JobError, reason_of

    try:
        return Server(Pages(render), port)
    except OSError as error:
        raise JobError(f"cannot serve on port {port}: {reason_of(error)}") from None


def serve(render: Callable[[], bytes], port: int) -> None:
    """Serve a page until Ctrl-C.

    Args:
        render: returns the page.
        port: of the loopback address; 0 for one that is free.

    Raises:
        JobError: if the port is taken.
    """
    with make_server(render, port) as server:
        echo(f"http://{HOST}:{server.server_address[1]}/  (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            echo("stopped", err=True)
