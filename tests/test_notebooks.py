"""The notebooks of the documentation run from the first cell to the last."""

import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.kernel import ROOT

NOTEBOOKS = ROOT / "docs" / "notebooks"


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / name, as_version=4)


def execute(name: str, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook in a folder, with the commands of this environment on the path."""
    notebook = read(name)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.create_kernel_manager()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    client.execute(env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)})
    return notebook


def results(notebook: nbformat.NotebookNode) -> list[dict[str, str]]:
    """What the last lines of the cells show."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [each.data for each in outputs if each.output_type == "execute_result"]


@pytest.mark.slow
def test_a_table_is_searched_and_its_results_are_read_in_another_notebook(tmp_path) -> None:
    searched = results(execute("own_table.ipynb", tmp_path))
    read = results(execute("reading_results.ipynb", tmp_path))

    (shown,) = [each["text/html"] for each in searched if "churn: complete" in str(each)]
    assert "fresh scores, 95% CI" in shown
    assert 'href="results/churn/report.html"' in shown
    assert shown == read[0]["text/html"]
    assert len([each for each in read if "image/png" in each]) == 2
    assert (tmp_path / "results/squared/best.keras").exists()


def test_a_keras_tuner_program_moves(tmp_path) -> None:
    searched = results(execute("from_keras_tuner.ipynb", tmp_path))

    assert any("learning_rate" in each["text/plain"] for each in searched)
    assert "image/png" in searched[-1]


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_a_notebook_is_kept_without_outputs(path) -> None:
    for cell in read(path.name).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert "/home" not in cell.source


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_every_link_of_a_notebook_leads_somewhere(path) -> None:
    texts = [cell.source for cell in read(path.name).cells if cell.cell_type == "markdown"]
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join(texts)):
        assert (NOTEBOOKS / target).is_file(), target
