"""Names, infos, and a new model in one file."""

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import modelzoo
from modelzoo.__main__ import main
from modelzoo.listing import Listed, listed
from modelzoo.registry import find_entry, register_model, variant

ROOT = Path(__file__).parent.parent


def test_names():
    names = modelzoo.list_models()
    assert names == sorted(names)
    assert {"mlp", "cnn", "lstm", "gru", "transformer", "lenet5", "mlp_784_128_10", "mlp_8_10_1"} <= set(names)
    assert modelzoo.list_models("mlp_784*") == ["mlp_784_100_10", "mlp_784_128_10"]
    assert modelzoo.list_models(task="classify") == names
    assert modelzoo.list_models("nothing*") == []


def test_builders_are_importable_by_themselves():
    from modelzoo.families.mlp import mlp
    from modelzoo.families.rnn import gru, lstm

    assert mlp((4,), 2).output_shape == (None, 2)
    assert lstm((4, 3), 2).name == "lstm"
    assert gru((4, 3), 2).name == "gru"


def test_an_info_counts_what_is_asked():
    info = modelzoo.model_info("mlp", input_shape=(100,), num_classes=10, widths=(50,))
    assert (info.parameters, info.multiply_adds, info.output_shape) == (5560, 5500, (None, 10))
    assert info.signature.parameters["dropout"].default == 0.0
    assert info.summary == "Dense layers over flattened inputs."
    assert modelzoo.model_info("lenet5").arguments["activation"] == "tanh"


def own_builder(input_shape, num_classes, *, width=4):
    """A model of the user's own."""
    return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(width), keras.layers.Dense(num_classes)])


def test_builders_of_the_users_own():
    assert modelzoo.create_model("test_registry:own_builder", input_shape=(3,), num_classes=2, width=5).count_params() == 32
    with pytest.raises(
        ValueError, match=r"unexpected keyword argument 'widht'. It is test_registry:own_builder\(input_shape, num_classes"
    ):
        modelzoo.create_model("test_registry:own_builder", input_shape=(3,), num_classes=2, widht=5)
    with pytest.raises(ValueError, match="model 'no_module:x': No module named 'no_module'"):
        modelzoo.create_model("no_module:x")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: modelzoo.create_model("mpl"), "unknown model 'mpl'. Nearest: mlp"),
        (lambda: modelzoo.create_model("mlp"), "missing a required argument: 'input_shape'. It is mlp"),
        (lambda: modelzoo.create_model("mlp_784_128_10", widht=3), "unexpected keyword argument 'widht'"),
        (
            lambda: modelzoo.create_model("mlp", input_shape=(4,), num_classes=2, widths=64),
            r"model 'mlp': 'int' object is not iterable. It is mlp\(.*widths: tuple\[int, ...\] = \(128,\).* Received: .*widths=64",
        ),
        (lambda: modelzoo.model_info("zzzzzz"), "unknown model 'zzzzzz'. Nearest: alexnet"),
    ],
)
def test_what_is_wrong_is_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_name_is_taken_once():
    with pytest.raises(
        ValueError, match="a model named 'mlp' is registered already, by modelzoo.families.mlp; test_registry needs another"
    ):

        @register_model(tiny={})
        def mlp():
            pass


def test_a_variant_shows_its_own_defaults(monkeypatch):
    from modelzoo import registry
    from modelzoo.families.mlp import mlp

    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    again = variant("mlp_784_128_10", mlp, doc="The same.", input_shape=(28, 28, 1), num_classes=10, params=101_770)
    assert inspect.signature(again).parameters["input_shape"].default == (28, 28, 1)
    assert again().count_params() == 101_770


def test_a_variant_has_its_own_task(monkeypatch):
    from modelzoo import registry
    from modelzoo.families.mlp import mlp

    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    variant("mlp_regress", mlp, doc="A number.", task="regress")
    variant("mlp_same", mlp, doc="A class.")
    assert modelzoo.list_models(task="regress") == ["mlp_regress"]
    assert modelzoo.model_info("mlp_same").task == "classify"
    assert "task" not in modelzoo.model_info("mlp_regress").arguments


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, num_classes):
        super().__init__()
        self.dense = keras.layers.Dense(num_classes)

    def call(self, inputs):
        return self.dense(inputs)


def subclassed(num_classes=2):
    """Says nothing of its inputs."""
    model = Subclassed(num_classes)
    model(keras.ops.ones((1, 3)))
    return model


def test_a_subclass_is_shown(capsys):
    assert main(["show", "test_registry:subclassed"]) == 0
    shown = capsys.readouterr().out
    for line in ("trainable parameters 8\n", "multiply-adds        unknown\n", "output               unknown\n"):
        assert line in shown


def test_the_command_line(capsys):
    assert main(["list", "mlp*"]) == 0
    listed = capsys.readouterr().out
    assert "mlp_784_128_10  101,770  The first net of most tutorials" in listed
    assert main(["show", "mlp", "input_shape=(28,28,1)", "num_classes=10", "widths=(64,)"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "50,890",
        "trainable parameters 50,890",
        "50,816 per example",
        "Rumelhart",
        "widths         (128,)  * (64,)",
        "hidden_1",
        "(None, 10)",
    ):
        assert part in shown
    for argv, message in (
        (["show", "mpl"], "error: unknown model 'mpl'. Nearest: mlp"),
        (["list", "x*"], "error: no model matches 'x*'. There are: alexnet"),
        (["show", "mlp", "widths=64"], "error: model 'mlp': 'int' object is not iterable. It is mlp("),
        (["show", "mlp", "widths"], "error: an argument is NAME=VALUE. Received: 'widths'"),
    ):
        assert main(argv) == 1
        err = capsys.readouterr().err
        assert err.startswith(message)
        assert err.count("\n") == 1


LIST = """
import importlib.util, sys
if {without_tensorflow}:
    importlib.util.find_spec = lambda name, *rest: None
from modelzoo.__main__ import main
code = main({argv})
assert not {{"tensorflow", "keras"}} & set(sys.modules)
sys.exit(code)
"""


@pytest.mark.parametrize("without_tensorflow", [False, True])
def test_the_list_needs_neither_tensorflow_nor_keras(without_tensorflow):
    def listed(*argv):
        program = LIST.format(argv=["list", *argv], without_tensorflow=without_tensorflow)
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)

    lines = [line.split(maxsplit=1) for line in listed().stdout.splitlines()]
    assert [name for name, _ in lines] == modelzoo.list_models()
    for name, line in lines:
        entry, summary = find_entry(name), modelzoo.model_info(name).summary
        assert line.startswith(f"{entry.params:,}  {summary} (" if entry.params else f"{summary} (")
        line, _, weights = line.partition(" [weights: ")
        assert weights.removesuffix("]") == ", ".join(entry.weights)
        assert entry.paper.startswith(line.rpartition(" (")[2].removesuffix(")"))
    wrong = listed("x*")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: no model matches 'x*'. There are: alexnet")


def test_a_computed_name_is_listed_too(capsys, monkeypatch, tmp_path):
    """By running the files, as a look-up does."""
    (tmp_path / "computed.py").write_text('for width in (8, 16):\n    variant(f"mlp_{width}", mlp, doc="...")\n')
    monkeypatch.setattr("modelzoo.__main__.FAMILIES", tmp_path)
    assert main(["list", "mlp_8*"]) == 0
    assert capsys.readouterr().out.startswith("mlp_8_10_1  101  8 features")


def test_what_a_file_says_is_what_the_registry_has():
    """Without running it: a paper of the base's, one in a constant, a base that is itself a variant."""
    for name, found in listed().items():
        info = modelzoo.model_info(name)
        assert found == Listed(info.summary, find_entry(name).params, info.paper, tuple(info.weights))
        assert found.year is None or info.paper.startswith(found.year)


FAMILY = '''
PAPER = "A & B 2020, In 2019, a title"

@register_model(tiny={}, paper=PAPER)
def base(x):
    """The base.

    More.
    """

other = variant("other", base, doc="Another.", params=1_000)
third = variant("third", other, doc="A third.", paper="C 2021, A title")
fourth = variant("fourth", third, doc="A fourth.")
'''


def test_a_variant_has_the_paper_of_its_base(tmp_path):
    (tmp_path / "family.py").write_text(FAMILY)
    assert listed(tmp_path) == {
        "base": Listed("The base.", None, "A & B 2020, In 2019, a title"),
        "fourth": Listed("A fourth.", None, "C 2021, A title"),
        "other": Listed("Another.", 1000, "A & B 2020, In 2019, a title"),
        "third": Listed("A third.", None, "C 2021, A title"),
    }
    assert listed(tmp_path)["base"].year == "A & B 2020"


def test_every_builder_is_an_attribute():
    assert modelzoo.mlp((4,), 2).output_shape == (None, 2)
    for name in modelzoo.list_models():
        assert getattr(modelzoo, name) is find_entry(name).builder
    assert {*modelzoo.list_models(), *modelzoo.__all__} <= set(dir(modelzoo))
    with pytest.raises(AttributeError, match=r"module 'modelzoo' has no attribute 'mpl'. Nearest: mlp"):
        modelzoo.mpl  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute 'zzzz'. See modelzoo.list_models\(\)"):
        modelzoo.zzzz  # noqa: B018


def test_names_are_completed_without_keras():
    program = """
import sys, modelzoo
assert "lenet5" in dir(modelzoo)
assert not hasattr(modelzoo, "lenet6")
assert not {"tensorflow", "keras"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_stub_is_what_the_command_writes(monkeypatch, tmp_path, capsys):
    from modelzoo import stubs

    kept = stubs.STUB.read_text()
    monkeypatch.setattr(stubs, "STUB", tmp_path / "stub.pyi")
    assert main(["stubs"]) == 0
    assert (tmp_path / "stub.pyi").read_text() == kept, "run python -m modelzoo stubs"


def test_a_stub_of_arguments(monkeypatch):
    from modelzoo import registry, stubs

    def odd(shape, *more: int, layer: keras.layers.Layer | None = None, names=("a", "b"), start=print, **rest):
        """Odd."""

    monkeypatch.setattr(registry, "_entries", {"odd": registry.Entry("odd", odd, {"shape": ()}, None, None, "classify")})
    text = stubs.stub()
    wanted = """
def odd(
    shape: Any,
    *more: int,
    layer: keras.Layer | None = None,
    names: Any = ("a", "b"),
    start: Any = ...,
    **rest: Any,
) -> keras.Model:
    \"\"\"Odd.\"\"\"
"""
    assert text.endswith(wanted)
    compile(text, "stub", "exec")


TOY = '''
"""A toy: one dense layer."""

import keras
from keras import layers

from modelzoo.registry import register_model


@register_model(tiny=dict(input_shape=(6,), num_classes=3), paper="Nobody 2026, A toy")
def toy(input_shape, num_classes, *, width: int = 16) -> keras.Model:
    """One dense layer."""
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, layers.Dense(num_classes, dtype="float32")(layers.Dense(width, activation="relu")(inputs)))
'''


def test_a_new_model_is_one_new_file_and_no_new_test(tmp_path):
    """In a copy of the project: the toy is listed, and the tests over the registry take it in."""
    for name in ("modelzoo", "trainers", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "modelzoo" / "families" / "toy.py").write_text(TOY)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-n0", "tests/test_models.py", "-k", "toy"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout[-2000:]
    assert int(re.search(r"(\d+) passed", result.stdout)[1]) >= 6
    command = [sys.executable, "-m", "modelzoo", "list", "toy"]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert listed.stdout == "toy    One dense layer. (Nobody 2026)\n"
