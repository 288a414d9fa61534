"""Names, infos, and a new model in one file."""

import inspect
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import pytest

import modelzoo
from modelzoo.__main__ import main
from modelzoo.registry import register_model, variant

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
        (lambda: modelzoo.model_info("zzzzzz"), "unknown model 'zzzzzz'. Nearest: attention_lstm"),
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


def test_the_command_line(capsys):
    assert main(["list", "mlp*"]) == 0
    listed = capsys.readouterr().out
    assert "mlp_784_128_10  The first net of most tutorials" in listed
    assert main(["show", "mlp", "input_shape=(28,28,1)", "num_classes=10", "widths=(64,)"]) == 0
    shown = capsys.readouterr().out
    for part in ("50,890", "50,816 an example", "Rumelhart", "widths         (128,)  * (64,)", "hidden_1", "(None, 10)"):
        assert part in shown
    for argv, message in (
        (["show", "mpl"], "error: unknown model 'mpl'. Nearest: mlp"),
        (["list", "x*"], "error: no model matches 'x*'. There are: attention_lstm"),
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
    assert lines == [[name, modelzoo.model_info(name).summary] for name in modelzoo.list_models()]
    wrong = listed("x*")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("error: no model matches 'x*'. There are: attention_lstm")


def test_a_computed_name_is_listed_too(capsys, monkeypatch, tmp_path):
    """By running the files, as a look-up does."""
    (tmp_path / "computed.py").write_text('for width in (8, 16):\n    variant(f"mlp_{width}", mlp, doc="...")\n')
    monkeypatch.setattr("modelzoo.__main__.__file__", str(tmp_path / "__main__.py"))
    assert main(["list", "mlp_8*"]) == 0
    assert capsys.readouterr().out.startswith("mlp_8_10_1  8 features")


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
    (tmp_path / "modelzoo" / "toy.py").write_text(TOY)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-n0", "tests/test_models.py", "-k", "toy"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout[-2000:]
    assert "6 passed" in result.stdout
    command = [sys.executable, "-m", "modelzoo", "list", "toy"]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert listed.stdout == "toy  One dense layer.\n"
