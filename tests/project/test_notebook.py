"""The notebook of the tutorials runs, and shows what it shall show."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs nbformat, which comes with nbclient")
nbclient = pytest.importorskip("nbclient", reason="needs nbclient and ipykernel")
pytest.importorskip("ipykernel", reason="needs ipykernel")

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorials" / "notebook.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Run the notebook in an empty folder; return the outputs of each cell that has some."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    folder = str(tmp_path_factory.mktemp("notebook"))
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}
    )
    client.execute()
    return [cell["outputs"] for cell in notebook.cells if cell.get("outputs")]


# What nbclient and the libraries below it warn of is theirs.
pytestmark = pytest.mark.filterwarnings("default")


def test_a_job_and_a_report_are_tables(outputs):
    _, described, done, *_ = outputs
    assert "<caption>Dry run of __main__:ndvi: " in described[0]["data"]["text/html"]
    report = done[-1]["data"]
    assert "<caption>Report</caption>" in report["text/html"]
    assert report["text/plain"].startswith("<Report: windows 30, time ")


def test_progress_is_one_line(outputs):
    line, report = outputs[2]
    assert line["output_type"] == "display_data"
    assert line["data"]["text/plain"].startswith(f"windows  [{24 * '#'}]  30/30")
    assert report["output_type"] == "execute_result"


def test_errors_name_keyword_arguments(outputs):
    (error,) = outputs[-1]
    assert (error["ename"], "pass like='data/dem.tif'" in error["evalue"]) == ("GridError", True)
    assert "--" not in error["evalue"]
    # The cell, and `run` itself.
    assert sum("line" in frame or ".py" in frame for frame in error["traceback"]) <= 3


def test_the_outputs_that_readers_see_are_those_of_the_code(outputs):
    committed = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if "outputs" in cell]
    shown = [cell["outputs"] for cell in committed if cell["outputs"]]
    kinds = [[output["output_type"] for output in cell] for cell in shown]
    assert kinds == [[output["output_type"] for output in cell] for cell in outputs]
    assert shown[3][0]["text"] == outputs[3][0]["text"]
    assert shown[-1][0]["evalue"] == outputs[-1][0]["evalue"]
