"""The notebooks are chapters: short cells, and parameters that explain themselves."""

import nbformat
import papermill
import pytest
from conftest import REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
LONGEST = 15  # lines of a cell


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_cell_is_longer_than_15_lines(path):
    cells = nbformat.read(path, as_version=4).cells
    long = [cell.source for cell in cells if cell.cell_type == "code" and len(cell.source.splitlines()) > LONGEST]
    assert not long


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_explains_every_parameter(path):
    parameters = papermill.inspect_notebook(path).values()
    explained = all(one["inferred_type_name"] in ("str", "int") and one["help"] for one in parameters)
    assert parameters
    assert explained
