"""The notebooks: clean as they are committed, and they run from a fresh kernel on a CPU."""

import ast
import configparser
import json
import os
import re
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))
SECONDS_OF_A_CELL = 280


def code_of(notebook: Path) -> list[str]:
    """The code cells; lines for the shell and for IPython as `pass`, so that the rest can be parsed."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    return [re.sub(r"^(\s*)[!%].*$", r"\1pass", "".join(cell["source"]), flags=re.MULTILINE) for cell in cells]


def test_there_are_notebooks():
    assert [notebook.stem for notebook in NOTEBOOKS] == ["quickstart", "tpu", "use_in_keras", "your_data"]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_is_clean(notebook):
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not [cell for cell in cells if cell["outputs"] or cell["execution_count"]], "outputs are stripped"
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [node for code in code_of(notebook) for node in ast.walk(ast.parse(code)) if isinstance(node, defined)]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_installs_the_project_on_colab_alone(notebook):
    listed = configparser.ConfigParser()
    listed.read(ROOT / "setup.cfg")
    url, text = listed["metadata"]["url"], notebook.read_text()
    cells = ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert re.findall(r"git clone .*?(https\S+)", cells[0]) == [url]
    assert set(re.findall(r"https://github\.com/[\w-]+/[\w-]+", text)) == {url}
    assert "colab.research.google.com/github/" + url.split("github.com/")[1] in text
    assert not re.search(r"pip install (-q )?(keras-)?modelzoo", text), "modelzoo of PyPI is another project's"
    installs = [line for cell in cells for line in cell.splitlines() if re.search(r"\bclone\b|pip install|%cd", line)]
    assert installs == cells[0].split("if ON_COLAB:\n")[1].splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_a_notebook_runs(notebook, tmp_path, data_dir, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TFDS_DATA_DIR", data_dir)
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    began = time.monotonic()
    client = nbclient.NotebookClient(
        nbformat.read(notebook, as_version=4),
        timeout=SECONDS_OF_A_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    ran = client.execute(env=dict(os.environ))
    print(f"{notebook.stem}: {time.monotonic() - began:.0f} s")
    if notebook.stem == "tpu" and not os.environ.get("TPU_NAME"):
        printed = "".join(output.get("text", "") for cell in ran.cells for output in cell.get("outputs", []))
        assert "No TPU here: what follows runs on the CPU." in printed
        found = json.loads((tmp_path / "selftest.json").read_text())
        assert [check["name"] for check in found["checks"] if not check["ok"]] == []
