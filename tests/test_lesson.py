"""The lesson: every cell runs, as a reader runs it, and what is shown beside the cells came from running them."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

LESSON = Path(__file__).parents[1] / "examples" / "lesson.ipynb"
SECONDS = 600  # for a cell


@pytest.fixture
def lesson() -> nbformat.NotebookNode:
    notebook: nbformat.NotebookNode = nbformat.read(LESSON, as_version=4)
    return notebook


def outputs(lesson: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in lesson.cells if cell.cell_type == "code" for output in cell.outputs]


def test_every_cell_runs(lesson: nbformat.NotebookNode, tmp_path: Path) -> None:
    client = NotebookClient(
        lesson, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()  # raises CellExecutionError, which shows the cell
    pictures = [output for output in outputs(lesson) if "image/png" in output.get("data", {})]
    assert len(pictures) == 8
    assert not [output for output in outputs(lesson) if output.get("name") == "stderr"]


def test_what_is_shown_beside_the_cells_came_from_running_them_in_order(lesson: nbformat.NotebookNode) -> None:
    counts = [cell.execution_count for cell in lesson.cells if cell.cell_type == "code"]
    assert counts == [*range(1, len(counts) + 1)]
    shown = "".join(output.get("text", "") for output in outputs(lesson))
    assert "agree, over" in shown
    assert not re.search(r"/(home|root|tmp|Users)/", shown)
