"""Each notebook runs as it is, on tiny data, and its outputs are right."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from tests.docs.made_images import write_blood_cells, write_nuclei

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


class Ran:
    """What the cells of a notebook put out, by the id of the cell."""

    def __init__(self, notebook: NotebookNode):
        self._outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}

    def text(self, cell: str) -> str:
        """What a cell printed."""
        return "".join(output.text for output in self._outputs[cell] if output.get("name") == "stdout")

    def shown(self, cell: str) -> list[str]:
        """The best form of each value that a cell shows."""
        data = [output.data for output in self._outputs[cell] if "data" in output]
        return [next(form for form in ("image/png", "text/html", "text/plain") if form in each) for each in data]


@pytest.fixture(autouse=True)
def nothing_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))


def run(name: str, folder: Path, **settings: Any) -> Ran:
    """Runs a notebook in a folder, with these settings in place of its own."""
    notebook = nbformat.read(FOLDER / name, as_version=4)
    (index,) = [index for index, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", ())]
    assert all(f"{setting} = " in notebook.cells[index].source for setting in settings)
    given = nbformat.v4.new_code_cell("\n".join(f"{setting} = {value!r}" for setting, value in settings.items()))
    notebook.cells.insert(index + 1, given)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return Ran(notebook)


def boxes_of(ran: Ran, cell: str) -> int:
    """How many boxes the validation split has, by the outline of the data."""
    (boxes,) = re.findall(r"val: \d+ images, (\d+) boxes", ran.text(cell))
    return int(boxes)


def objects_of(ran: Ran, cell: str) -> int:
    """How many objects the table by crowding has."""
    by_crowding = ran.text(cell).partition("\ncrowding")[2].partition("\nsize")[0]
    return sum(int(number) for number in re.findall(r"^(?:no overlap|IoU \S+ \S+) +(\d+) ", by_crowding, re.MULTILINE))


def test_drawn_people(tmp_path: Path) -> None:
    ran = run("drawn_people.ipynb", tmp_path, IMAGES=16, EPOCHS=1)
    assert "train: 16 images" in ran.text("draw")
    assert ran.shown("draw") == ["image/png"]
    assert ran.text("check").startswith("note: ")
    assert (tmp_path / "drawn_people" / "run" / "report.html").is_file()
    assert "AP50" in ran.text("score")
    assert ran.shown("detect") == ["image/png"] * 2
    assert re.findall(r"^(\d+\.jpg): \d+ counted, \d+ drawn$", ran.text("count"), re.MULTILINE) == [
        "000001.jpg",
        "000002.jpg",
    ]
    assert objects_of(ran, "errors") == boxes_of(ran, "draw") > 0


def test_blood_cells(tmp_path: Path) -> None:
    data = write_blood_cells(tmp_path / "cells")
    ran = run("blood_cells.ipynb", tmp_path, DATA=str(data), EPOCHS=1, SIDE=64)
    assert "3 classes (RBC, WBC, Platelets)" in ran.text("data")
    assert "error: " not in ran.text("check")
    assert (tmp_path / "blood_cells" / "weights.safetensors").is_file()
    assert ran.shown("detect") == ["image/png", "text/html"]
    assert ran.text("count").startswith("{'RBC': ")
    (all_classes,) = re.findall(r"^all classes +(\d+) ", ran.text("count"), re.MULTILINE)
    assert int(all_classes) == objects_of(ran, "errors") == boxes_of(ran, "data") > 0


def test_nuclei(tmp_path: Path) -> None:
    source = write_nuclei(tmp_path / "source")
    ran = run("nuclei.ipynb", tmp_path, SOURCE=str(source), EPOCHS=1, SIDE=64)
    masks = len(list(source.glob("stage1_train/*/masks/*.png")))
    assert f"10 images, {masks - 1} boxes" in ran.text("data")
    assert "error: " not in ran.text("check")
    assert ran.shown("detect") == ["image/png"]
    assert re.search(r"^densest image: \d+ found, \d+ annotated$", ran.text("count"), re.MULTILINE)
    assert objects_of(ran, "errors") == boxes_of(ran, "data") > 0
    assert ran.shown("errors") == ["image/png"] * 2


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_no_output_is_committed(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.source for cell in code if cell.outputs or cell.execution_count is not None] == []


def test_each_notebook_is_run() -> None:
    assert [file.name for file in NOTEBOOKS] == ["blood_cells.ipynb", "drawn_people.ipynb", "nuclei.ipynb"]
