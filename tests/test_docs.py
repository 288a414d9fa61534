"""Documentation: its code runs, its links and flags exist, its tables are up to date."""

import importlib
import inspect
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import modelzoo
import trainers
from docs import zoo

ROOT = Path(__file__).parent.parent
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
WITH_CODE = ["README.md", "docs/guide.md", "docs/models.md", "docs/own_data.md", "docs/add_a_model.md", "docs/add_a_task.md"]
WITH_COMMANDS = ["docs/own_data.md", "docs/add_a_model.md"]
_BLOCK = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """(language, title, code) of each block of a page. A block with a title is a file; a Python block without one is run."""
    return _BLOCK.findall(page.read_text())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to run in; what its modules register is forgotten afterwards."""
    from modelzoo import registry

    modelzoo.list_models()
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run_page(page: str, *, commands: bool) -> None:
    """What a reader does: the files, the Python blocks in one session and, if asked for, the commands."""
    for _, title, code in blocks(ROOT / page):
        if title:
            Path(title).write_text(code)
    names = {}
    for language, title, code in blocks(ROOT / page):
        if language == "python" and not title:
            exec(compile(code, page, "exec"), names)
        if language == "bash" and commands:
            subprocess.run(["bash", "-ec", code.replace("python ", f"{sys.executable} ")], check=True)


LONG = ("docs/guide.md", "docs/own_data.md")


@pytest.mark.parametrize("page", [pytest.param(page, marks=pytest.mark.slow) if page in LONG else page for page in WITH_CODE])
def test_the_code_of_a_page_runs(page, folder):
    run_page(page, commands=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_the_commands_of_a_page_run(page, folder, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{folder}")
    run_page(page, commands=True)


def test_every_page_with_code_is_run():
    for language, pages in (("python", WITH_CODE), ("bash", WITH_COMMANDS)):
        found = {str(page.relative_to(ROOT)) for page in PAGES if any(block[0] == language for block in blocks(page))}
        assert found == set(pages)


def commands() -> list[tuple[str, str, str]]:
    """(page, module, rest of the line) of every `python -m` in the documentation."""
    pattern = re.compile(r"python -m ((?:modelzoo|trainers|benchmarks|docs)[\w.]*)([^`\n]*)")
    return [(page.name, *found) for page in PAGES for found in pattern.findall(page.read_text())]


@pytest.mark.parametrize("module", sorted({module for _, module, _ in commands()}))
def test_commands_and_their_flags_exist(module):
    file = ROOT / f"{module.replace('.', '/')}.py"
    file = file if file.exists() else file.with_suffix("") / "__main__.py"
    text = file.read_text() + (ROOT / "trainers/cli.py").read_text() * module.startswith("trainers.")
    known = set(re.findall(r'(?:DEFINE_\w+|declare_key_flag|add_argument)\(\s*"(?:--)?([\w-]+)"', text))
    for page, _, line in (command for command in commands() if command[1] == module):
        line = line.partition(" -- ")[0]
        given = set(re.findall(r"--([\w-]+)", line))
        assert given <= known | {"config", "help"}, f"{page}: python -m {module}{line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_go_to_files_that_exist(page):
    """mkdocs looks at links between the pages of docs/; this, at all."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        of_repository = re.match(
            r"https://(?:github\.com|colab\.research\.google\.com/github)/keras-modelzoo/modelzoo/blob/main/(.+)", target
        )
        if of_repository:
            assert (ROOT / of_repository[1]).exists(), target
        elif not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.slow
def test_the_zoo_is_up_to_date():
    """Names, papers and figures all of them; of the counts those of small models."""
    text = zoo.PAGE.read_text()
    models, configs = zoo.saved_counts(text)
    assert sorted(models) == modelzoo.list_models(), "run python -m docs.zoo"
    assert set(configs) == set(zoo.CONFIGS), "run python -m docs.zoo"
    assert zoo.page(models.get, configs.get) == text, "run python -m docs.zoo"
    for known, count in ((models, zoo.count_model), (configs, zoo.count_config)):
        for name, counts in known.items():
            if (counts[0] or 0) < 2_000_000:
                assert count(name) == counts, name


def test_the_readme_names_models_that_exist():
    table = (ROOT / "README.md").read_text().partition("## The zoo")[2].partition("\n\n[")[0]
    named = set(re.findall(r"`(\w+)`", table))
    assert named
    assert named <= set(modelzoo.list_models())


def public() -> dict[str, object]:
    found = {f"trainers.{name}": getattr(trainers, name) for name in trainers.__all__}
    found |= {f"modelzoo.{name}": getattr(modelzoo, name) for name in modelzoo.__all__}
    trainer = trainers.Trainer
    return found | {f"trainers.Trainer.{name}": getattr(trainer, name) for name in ("fit", "evaluate", "predict")}


@pytest.mark.parametrize("name", sorted(public()))
def test_a_public_docstring_documents_what_there_is(name):
    """Its Args are parameters; mkdocs is not asked, since one line may document two of them."""
    item = public()[name]
    documented = re.search(r"^Args:\n((?:[ ]{2,}.*\n|\n)*)", (inspect.getdoc(item) or "") + "\n", re.MULTILINE)
    assert inspect.getdoc(item), name
    if documented:
        names = re.findall(r"^ {2}(\*{0,2}\w[^:\n]*):", documented[1], re.MULTILINE)
        found = itertools.chain.from_iterable(line.split(",") for line in names)
        assert {argument.strip(" *") for argument in found} <= set(inspect.signature(item).parameters), name


def test_the_picture_of_a_run(tmp_path):
    """The curves are those of metrics.jsonl."""
    curves = importlib.import_module("docs.curves")
    lines = [
        '{"step": 1, "epoch": 1.0, "split": "train", "loss": 2.0}',
        '{"step": 1, "epoch": 1.0, "split": "validation", "loss": 3.0, "f1": 0.5}',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    assert curves.read_curves(tmp_path) == {"loss": {"train": [(1.0, 2.0)], "validation": [(1.0, 3.0)]}}
    pytest.importorskip("matplotlib")
    curves.draw(tmp_path, tmp_path / "run.svg")
    assert "</svg>" in (tmp_path / "run.svg").read_text()
