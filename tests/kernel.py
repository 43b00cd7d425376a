"""A notebook's kernel, with nobody in front of it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent


class Kernel:
    """A Python kernel in a folder, whose cells see the repository."""

    def __init__(self, client: NotebookClient) -> None:
        self._client = client

    def run(self, code: str, *, interrupt_after: str | None = None) -> nbformat.NotebookNode:
        """Run a cell; with ``interrupt_after``, as by a click once the cell has shown that text."""
        cell = nbformat.v4.new_code_cell(code)
        self._client.nb.cells.append(cell)
        if interrupt_after is not None:
            self._interrupt_once(cell, interrupt_after)
        self._client.execute_cell(cell, len(self._client.nb.cells) - 1)
        return cell

    def _interrupt_once(self, cell: nbformat.NotebookNode, text: str) -> None:
        def look() -> None:
            if text in shown(cell):
                os.kill(self._client.km.provisioner.process.pid, signal.SIGINT)
            else:
                later()

        def later() -> None:
            timer = threading.Timer(0.1, look)
            timer.daemon = True
            timer.start()

        later()


def shown(cell: nbformat.NotebookNode) -> str:
    """Everything that a cell shows, as text."""
    texts = []
    for output in cell.outputs:
        texts.append(output.get("text") or output.get("evalue") or "")
        texts += map(str, output.get("data", {}).values())
    return "\n".join(texts)


@contextmanager
def open_kernel(folder: Path) -> Iterator[Kernel]:
    """Start a kernel in a folder, and end it."""
    client = NotebookClient(
        nbformat.v4.new_notebook(),
        timeout=300,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    )
    client.create_kernel_manager()
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with client.setup_kernel(env={**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3"}):
        yield Kernel(client)
