"""Imports go one way, and each rule of the house is kept."""

import ast
import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(f for folder in ("modelzoo", "trainers", "configs", "benchmarks") for f in (ROOT / folder).rglob("*.py"))
PUBLIC_MODELZOO = {"modelzoo", "modelzoo.layers", "modelzoo.stderr"}
ENTRY_POINTS = "cli|train|evaluate|predict|selftest|launch|preflight"


def name_of(file: Path) -> str:
    """The module in a file; a package by its own name."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(file: Path) -> set[str]:
    """Modules that a file imports, also inside functions; "from a import b" counts as a.b where that is a module."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {n for n in inner if (ROOT / n.replace(".", "/")).with_suffix(".py").exists()} or {node.module}
    return found


IMPORTS = {name_of(file): imports(file) for file in FILES}


def offences(modules: str, forbidden: str, allowed: set[str] = frozenset()) -> list[str]:
    return [
        f"{module} imports {name}"
        for module, names in IMPORTS.items()
        for name in sorted(names)
        if re.match(modules, module) and re.match(forbidden, name) and name not in allowed
    ]


@pytest.mark.parametrize(
    ("modules", "forbidden", "allowed"),
    [
        (r"modelzoo\b", r"(trainers|configs|benchmarks|absl|ml_collections|tensorflow)\b", set()),
        (r"modelzoo\.layers", r"modelzoo\.(?!layers)", set()),
        (r"modelzoo\.families", r"modelzoo\.(?!layers|registry|weights)", set()),
        (r"modelzoo\.weights", r"modelzoo\.(?!layers|weights)", set()),
        (r"trainers\b", r"modelzoo\b", PUBLIC_MODELZOO),
        (r"trainers\b", r"(configs|benchmarks|colab|tests)\b", set()),
        (r"configs\b", r"(?!trainers)", {"trainers.config"}),
        (r"trainers\.speed\b", r"trainers\.(?!speed|files|nests)", set()),
        (r"trainers\.engine\b", r"trainers\.(?!engine|speed|files|config|tpu_host|nests)", set()),
        (r"trainers\.data\b", r"trainers\.(?!data|config|files|remote|nests)", {"trainers"}),
        (r"trainers\.tasks\b", r"trainers\.(?!tasks|config)", {"trainers.speed.keras_inside"}),
        (r"trainers\.tasks\.(?!derivative)", r"tensorflow\b", set()),
        (r"trainers\.report\b", r"trainers\.(?!report|config|files)", set()),
        (r"trainers\.(config|files)$", r"(trainers|tensorflow|keras)\b", set()),
        (rf"trainers\.(?!({ENTRY_POINTS})$)", rf"(absl|trainers\.({ENTRY_POINTS}))\b", set()),
        (r"trainers\.(?!preflight|tpu)", r"(trainers\.tpu|jax|jaxlib|libtpu)\b", set()),
        (
            r"trainers\.tpu\.(compiling|chips|largest)$",
            r"(tensorflow|trainers\.(data|engine\.(?!optimizers)))\b",
            set(),
        ),
    ],
)
def test_imports_go_one_way(modules, forbidden, allowed):
    assert offences(modules, forbidden, allowed) == []


def test_names_that_one_file_alone_uses():
    """What communicates between replicas, compiles or reads the command line is in these files."""
    owners = {
        r"GradientTape": {"trainers.engine.update", "trainers.engine.contrast", "trainers.tasks.derivative"},
        r"all_reduce": {"trainers.engine.update", "trainers.engine.evaluation"},
        r"strategy\.run\b": {"trainers.engine.loop"},
        r"jit_compile": {"trainers.speed.plan", "trainers.diagnosis.probes"},
        r"sys\.argv": {"trainers.cli"},
    }
    for pattern, wanted in owners.items():
        found = set()
        for file in FILES:
            if name_of(file).startswith("trainers"):
                tree = ast.parse(file.read_text())
                code = "\n".join(ast.unparse(node) for node in tree.body if not isinstance(node, ast.Expr))
                code = re.sub(r'"""(?s:.*?)"""', "", code)
                if re.search(pattern, code):
                    found.add(name_of(file))
        assert found == wanted, pattern


KERAS_INSIDE = "trainers.speed.keras_inside"


def private_names(tree: ast.AST) -> set[str]:
    """Attributes of others that begin with one underscore, what is imported from within Keras, and names that are private
    without an underscore.
    """
    nodes = list(ast.walk(tree))
    found = {n.attr for n in nodes if isinstance(n, ast.Attribute) and re.match("_(?!_)", n.attr)}
    found |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and re.match(r"keras\.src\b", n.module or "")}
    words = {getattr(n, "attr", getattr(n, "id", getattr(n, "value", None))) for n in nodes}
    return found | {word for word in words if isinstance(word, str) and re.fullmatch("inner_loop|seed_generator_state", word)}


def test_private_names_of_keras_stand_in_one_file():
    trees = {name_of(file): ast.parse(file.read_text()) for file in FILES if name_of(file).startswith("trainers")}
    nodes = [node for tree in trees.values() for node in ast.walk(tree)]
    ours = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    ours |= {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
    found = {module: private_names(tree) - ours for module, tree in trees.items()}
    assert found.pop(KERAS_INSIDE) >= {"keras.src.backend", "_flatten_layers", "inner_loop", "seed_generator_state"}
    assert {module: names for module, names in found.items() if names} == {}


@pytest.mark.parametrize("package", ["trainers", "modelzoo", "trainers.config"])
def test_importing_loads_neither_tensorflow_nor_keras(package):
    program = f"import sys, {package}; assert not {{'tensorflow', 'keras'}} & set(sys.modules), set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_doctor_uses_python_alone():
    """What it looks at must not be able to end it."""
    for module, names in IMPORTS.items():
        if re.match(r"trainers\.(doctor|diagnosis|tpu_host)\b", module):
            others = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
            assert all(re.match(r"trainers\.(diagnosis|tpu_host)\b|trainers$", name) for name in others), (module, others)


def test_the_public_names_are_there():
    import trainers

    for name in trainers.__all__:
        assert callable(getattr(trainers, name))
    with pytest.raises(AttributeError, match="no attribute 'Trainr'"):
        trainers.Trainr  # noqa: B018


def test_without_tensorflow_one_line_says_what_to_install():
    program = """
import importlib.util, sys
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "tensorflow" else found(name, *rest)
sys.argv = ["train", "--config=digits_mlp", "--workdir=nowhere"]
import runpy
runpy.run_module("trainers.train", run_name="__main__")
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.startswith("error: TensorFlow is not installed. Install one of: pip install 'keras-modelzoo[cpu]'")
    assert result.stderr.count("\n") == 1


def test_every_package_is_shipped():
    listed = configparser.ConfigParser()
    listed.read(ROOT / "setup.cfg")
    wanted = {name_of(file) for file in FILES if file.name == "__init__.py" and "benchmarks" not in str(file)}
    assert set(listed["options"]["packages"].split()) == wanted | {"trainers.configs"}


def test_no_machine_and_no_registry_is_named():
    names = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT).stdout.split()
    for name in names:
        text = (ROOT / name).read_bytes().decode("utf-8", "ignore")
        for pattern in (r"/(home|root|work|Users)/", r"index-url", r"https?://[^ ]*pypi"):
            assert not re.search(pattern, text) or name == "tests/test_layout.py", f"{name}: {pattern}"
