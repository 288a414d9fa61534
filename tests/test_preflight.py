"""Preflight: chips, arithmetic and errors; compiles by the TPU's own compiler where jax and libtpu are installed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from test_entry_points import call

from trainers.config import Config, load_config
from trainers.data.spec import Spec
from trainers.tpu import compiling
from trainers.tpu.check import GIB, Finding, _told, _wanted, check
from trainers.tpu.chips import CHIPS, parse_tpu
from trainers.tpu.largest import MOST_EXAMPLES, Largest, largest_batch
from trainers.tpu.lowering import lower, lowered, make_step
from trainers.tpu.report import flops, least_seconds, report
from trainers.tpu.shapes import spec_from_shapes
from trainers.tpu.table import with_row
from trainers.tpu.tiles import Padded, padded_matrices

ROOT = Path(__file__).parent.parent
HAS_COMPILER = all(importlib.util.find_spec(name) for name in ("jax", "libtpu"))
compiles = pytest.mark.skipif(not HAS_COMPILER, reason="jax and libtpu are absent: pip install -e '.[preflight]'")
FULL = (
    "RESOURCE_EXHAUSTED: E1000: CompileTimeHbmOom: Ran out of memory on HBM, the total memory required for HLO temporaries "
    "(18.21G) exceeds available HBM (15.75G). HLO module: a_inference_program_904__.25.\nSee https://openxla.org/xla/errors"
)


def config(**changes) -> Config:
    given = dict(
        data={"name": "npz"}, model={"name": "mlp", "widths": (16,)}, optimizer={"name": "adam"}, batch_size=8, steps=1
    )
    return Config(**{**given, **changes})


SPEC = Spec(input_shape=(6,), examples={}, num_classes=3)


def finding(tpu: str = "v5e-4", error: str | None = None, wanted: int | None = 2 * GIB, batch: int = 8) -> Finding:
    memory = {} if error else {"temporaries": GIB}
    return Finding(parse_tpu(tpu), make_step(config(), SPEC, batch), error, wanted, memory, 3.0, False)


# Chips ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "replicas", "device"),
    [("v5e-4", 4, "chip"), ("v5litepod-8", 8, "chip"), ("v6e-1", 1, "chip"), ("v3-8", 8, "core"), ("v4-8", 4, "chip"),
     ("v5p-16", 8, "chip"), ("tpu7x-8", 8, "core")],
)  # fmt: skip
def test_a_name_counts_as_google_counts(name, replicas, device):
    found = parse_tpu(name)
    assert (found.replicas, found.device) == (replicas, device)


def test_a_device_has_its_share_of_a_chip():
    v3 = parse_tpu("v3-8")
    assert (v3.flops_per_second, v3.bytes_per_second) == (61.5e12, 450e9)
    for kind, chip in CHIPS.items():
        assert chip.usable_gib <= 1.01 * chip.hbm_gib / chip.devices, kind


@pytest.mark.parametrize(
    ("name", "message"),
    [("v9-4", "unknown TPU 'v9-4'. Accepted: v2-N, v3-N"), ("v5e", "such as v5e-4"), ("v5e-512", "from 1 to 256. Received: 512"),
     ("v4-4", "from 8 to"), ("v3-9", "there is no v3-9")],
)  # fmt: skip
def test_unknown_tpus_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        parse_tpu(name)


def test_a_batch_that_does_not_divide_is_refused():
    assert parse_tpu("v5e-4").batch(64) == 16
    with pytest.raises(ValueError, match=r"multiple of the 128 chips of v5e-128. Received: 64; --config.batch_size=128"):
        parse_tpu("v5e-128").batch(64)


# Shapes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "classes", "vocab"),
    [("cifar10_cnn", (32, 32, 3), 10, None), ("imdb_lstm", (400,), 2, 10_000), ("digits_cnn", (8, 8, 1), 10, None),
     ("breast_cancer_mlp", (30,), 2, None), ("pima_mlp", (8,), 2, None)],
)  # fmt: skip
def test_shapes_are_known_without_data(name, shape, classes, vocab):
    found = spec_from_shapes(load_config(name))
    assert (found.input_shape, found.num_classes, found.vocab_size) == (shape, classes, vocab)


def test_what_only_data_tells_is_asked_for():
    with pytest.raises(ValueError, match="input_shape and num_classes of data 'csv' .* --input_shape=32,32,3 --num_classes=10"):
        spec_from_shapes(load_config("csv_mlp"))
    assert spec_from_shapes(load_config("csv_mlp"), input_shape=(30,), num_classes=4).num_classes == 4
    with pytest.raises(ValueError, match="--input_shape=400"):
        spec_from_shapes(load_config("text_transformer"), num_classes=2)


def test_a_regression_has_targets():
    found = spec_from_shapes(load_config("csv_mlp", ["task.name=regress"]), input_shape=(8,))
    assert (len(found.target_mean), found.num_classes) == (1, None)


# Lowering -------------------------------------------------------------------------------------------------------------


def test_bytes_are_those_of_the_shapes():
    step = make_step(config(), SPEC, 8)
    parameters = (6 * 16 + 16 + 16 * 3 + 3) * 4
    assert step.bytes["parameters"] == step.bytes["gradients"] == parameters
    assert step.bytes["batch"] == 8 * (6 + 1 + 1) * 4
    assert 2 * parameters <= step.bytes["optimizer"] <= 2 * parameters + 12  # two slots, a counter, a rate
    assert step.multiply_adds == 6 * 16 + 16 * 3


def test_the_state_is_updated_in_place_and_the_key_is_of_the_program():
    step = make_step(config(), SPEC, 8)
    first, again = lower(step), lower(step)
    assert first.key == again.key != lower(make_step(config(), SPEC, 16)).key
    inputs = [place for place, _ in first.aliases]
    assert sorted(inputs) == list(range(len(tf.nest.flatten(step.values))))


@pytest.mark.parametrize("changes", [{"accumulate": 2}, {"precision": "float16"}, {"precision": "bfloat16"}], ids=str)
def test_any_step_lowers(changes):
    assert lower(make_step(config(**changes), SPEC, 8)).hlo


def test_no_memory_is_needed_for_weights():
    step = make_step(config(model={"name": "mlp", "widths": (200_000, 200_000)}), SPEC, 8)  # 160 GB
    assert step.bytes["parameters"] > 149 * GIB


def keeps_tensors(input_shape, num_classes):
    inputs = keras.Input(input_shape)
    standardized = keras.layers.Normalization(mean=[0.0] * 6, variance=[1.0] * 6)(inputs)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(standardized))


def test_a_layer_may_keep_tensors_that_are_no_variables():
    model = {"name": f"{__name__}:keeps_tensors", "input_shape": (6,), "num_classes": 3}
    assert lowered(config(model=model), SPEC, 8)[1].hlo


class _OnTheHost(keras.layers.Layer):
    def call(self, x):
        return tf.ensure_shape(tf.py_function(lambda value: value, [x], tf.float32), x.shape)


class _Dynamic(keras.layers.Layer):
    def call(self, x):
        return x + tf.reduce_sum(tf.boolean_mask(x, x > 0))


def _with(layer, input_shape):
    inputs = keras.Input(input_shape)
    return keras.Model(inputs, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(layer(inputs))))


def on_the_host(input_shape, num_classes):
    return _with(_OnTheHost(name="fetch"), input_shape)


def dynamic(input_shape, num_classes):
    return _with(_Dynamic(name="mask"), input_shape)


def any_length(input_shape, num_classes):
    return _with(keras.layers.Identity(), (None, 4))


@pytest.mark.parametrize(
    ("builder", "message"),
    [(on_the_host, r"operation EagerPyFunc \(.*fetch.*\) at .*test_preflight.py:\d+ runs on the host alone"),
     (dynamic, r"needs static shapes. Operation Where \(.*mask.*\) gives a tensor whose size depends on values"),
     (any_length, r"needs static shapes. Input .* has the shape \(None, None, 4\)")],
)  # fmt: skip
def test_what_a_tpu_cannot_do_is_named(builder, message):
    spec = Spec(input_shape=(5, 4), examples={}, num_classes=3)
    model = {"name": f"{__name__}:{builder.__name__}", "input_shape": (5, 4), "num_classes": 3}
    with pytest.raises(ValueError, match=message):
        lower(make_step(config(model=model), spec, 8))


# Arithmetic -----------------------------------------------------------------------------------------------------------


def test_tiles():
    assert Padded("a", 128, 10).padded_to == (128, 128)
    assert Padded("a", 128, 10).waste == pytest.approx(1 - 10 / 128)
    a, b = keras.layers.Dense(256, name="a"), keras.layers.Dense(10, name="b")
    model = keras.Sequential([keras.Input((64,)), a, b], name="net")
    assert [matrix.name for matrix in padded_matrices(model)] == ["net/b/kernel"]


def test_the_bound_is_the_larger_of_two():
    found = finding()
    held = found.step.bytes
    assert flops(found) == 2 * 3 * (6 * 16 + 16 * 3) * 8
    wanted = {
        "compute": flops(found) / 197e12,
        "memory": (2 * (held["parameters"] + held["optimizer"]) + held["batch"]) / 819e9,
    }
    assert least_seconds(found) == pytest.approx(wanted)
    assert "by memory" in report(found, None)


@pytest.mark.parametrize("largest", [12, 100, 1000, 5_000, 300_000])
def test_the_largest_batch_is_found(largest):
    tried = []

    def wanted_at(batch, left):
        tried.append(batch)
        return 10_000 + 70 * batch, batch <= largest

    found = largest_batch(wanted_at, 64, fixed=8_000, usable=10_000 + 70 * largest, unit=4, seconds=60)
    assert found.fits <= largest < found.too_many
    assert found.too_many - found.fits <= max(found.too_many // 8, 4)
    assert len(tried) < 12
    assert not found.ended


def test_the_search_has_ends():
    def too_slow(batch, left):
        raise compiling.TooSlow

    options = dict(fixed=10, usable=1000, unit=8, seconds=60)
    assert largest_batch(lambda batch, left: (None, True), 64, **options) == Largest(MOST_EXAMPLES, None, False)
    assert largest_batch(lambda batch, left: (None, False), 64, **options).fits is None
    assert largest_batch(too_slow, 64, **options) == Largest(None, None, True)


def test_an_error_of_memory_says_how_much():
    assert _wanted(FULL) == int(18.21 * GIB)
    assert _wanted("something else") is None
    assert _told(FULL).endswith("exceeds available HBM (15.75G).")
    located = 'no: metadata={op_name="dense/MatMul" source_file="mine.py" source_line=7}'
    assert _told(located).startswith("operation dense/MatMul: ")
    assert _told(located).endswith("(at mine.py:7)")


def test_the_report():
    fits = report(finding(), Largest(4096, 4608, False))
    for part in (
        "v5e-4: compiles (4 chips, 8 examples on each; 3 s)", "2 of 15.75 GiB on a chip", "temporaries 1,", "4,096 examples on a chip",
        "4,608 do not", "hidden_1/kernel 6x16 in 8x128", "over 4 chips (from their shapes", "counted from the model", "a bound, no estimate",
    ):  # fmt: skip
        assert part in fits
    full = report(finding(error=FULL, wanted=_wanted(FULL)), Largest(None, 8, False))
    assert "v5e-4: does not fit" in full
    assert "wanted 18.2 of 15.75 GiB available" in full
    assert "operation X: no" in report(finding(error="operation X: no", wanted=None), None)


@compiles
def test_the_table_keeps_its_other_rows():
    page = "# TPUs\n\n<!-- table -->\n<!-- /table -->\nprose\n"
    for name, said in (("b", "1"), ("a", "2"), ("b", "3"), ("a, tiny", "4")):
        page = with_row(page, name, [said, said])
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == ["| `a` | 2 | 2 |", "| `b` | 3 | 3 |", "| `a, tiny` | 4 | 4 |"]
    assert page.endswith("<!-- /table -->\nprose\n")
    with pytest.raises(ValueError, match="must have the lines"):
        with_row("no markers", "a", ["1", "1"])


# The child ------------------------------------------------------------------------------------------------------------


def test_absent_packages_are_told_with_the_command(monkeypatch):
    monkeypatch.setattr(compiling, "_version", lambda name: None if name == "libtpu" else "1")
    with pytest.raises(ImportError, match=r"needs libtpu: pip install 'keras-modelzoo\[preflight\]'"):
        compiling.check_installed()


def test_a_child_that_dies_or_hangs_is_told(tmp_path, monkeypatch):
    (tmp_path / "dies.py").write_text("import os\ndef compile_job(job):\n    os.abort()\n")
    (tmp_path / "hangs.py").write_text("import time\ndef compile_job(job):\n    time.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = compiling.compile_for("v5e", {"key": "a"}, timeout_s=60, module="dies")
    assert not found["ok"]
    assert "signal SIGABRT" in found["error"]
    assert not (tmp_path / "cache").exists()  # a crash is no answer to keep
    with pytest.raises(compiling.TooSlow, match="did not end within 1 s; --timeout_s"):
        compiling.compile_for("v5e", {"key": "a"}, timeout_s=1, module="hangs")


def test_an_answer_is_kept(tmp_path, monkeypatch):
    (tmp_path / "counts.py").write_text("def compile_job(job):\n    return {'code': 7}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = [compiling.compile_for("v5e", {"key": key}, timeout_s=60, module="counts") for key in ("a", "a", "b", None, None)]
    assert [each["cached"] for each in found] == [False, True, False, False, False]
    assert all(each["memory"] == {"code": 7} for each in found)


def preflight(tmp_path, *flags: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-m", "trainers.preflight", *flags], capture_output=True, text=True, cwd=tmp_path, env=environment
    )


@pytest.mark.skipif(HAS_COMPILER, reason="jax and libtpu are here")
def test_preflight_says_what_is_missing(tmp_path):
    (result,) = call([["trainers.preflight", "--config=mnist_mlp", "--tpu=v5e-4"]], tmp_path)
    assert (result["code"], result["err"].count("\n")) == (1, 1), result["err"]
    assert "pip install 'keras-modelzoo[preflight]'" in result["err"]


@compiles
def test_preflight_refuses_in_one_line(tmp_path):
    wanted = {
        ("--tpu=v5e-4",): "give --config and --tpu",
        ("--config=mnist_mlp", "--tpu=v9-4"): "unknown TPU 'v9-4'",
        ("--config=mnist_mlp", "--tpu=v5e-128"): "batch_size must be a multiple of the 128 chips",
        ("--config=csv_mlp", "--tpu=v5e-1", "--input_shape=a,b"): "--input_shape is sizes",
        ("--config=csv_mlp", "--tpu=v5e-1"): "input_shape and num_classes of data 'csv'",
        ("--all", "--tpu=v5e-1"): "--all takes neither --tpu",
        ("--all", "--tiny", "--config=mnist_mlp"): "--tiny is of all registered models",
    }
    for result, message in zip(
        call([["trainers.preflight", *flags] for flags in wanted], tmp_path), wanted.values(), strict=True
    ):
        assert result["code"] == 1
        assert f"error: {message}" in result["err"]
        assert "Traceback" not in result["err"]


@compiles
@pytest.mark.slow
def test_a_config_that_fits_and_one_that_does_not(tmp_path):
    fits = preflight(tmp_path, "--config=mnist_mlp", "--tpu=v5e-4", "--tpu=v6e-8", "--bisect_s=0")
    assert fits.returncode == 0, fits.stderr
    assert "v5e-4: compiles" in fits.stdout
    assert "v6e-8: compiles" in fits.stdout
    again = preflight(tmp_path, "--config=mnist_mlp", "--tpu=v5e-4", "--bisect_s=0")
    assert "the cache's answer" in again.stdout
    huge = ["--config.model.name=mlp", "--config.model.widths=(20000,20000,20000,20000)", "--config.optimizer.name=adam"]
    full = preflight(tmp_path, "--config=mnist_mlp", "--tpu=v5e-4", "--bisect_s=0", *huge)
    assert full.returncode == 1
    assert "v5e-4: does not fit" in full.stdout
    assert "wanted 18.2 of 15.75 GiB" in full.stdout


@compiles
@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(CHIPS))
def test_each_chip_has_the_memory_that_the_compiler_says(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    huge = config(model={"name": "mlp", "widths": (200_000, 200_000)})
    smallest = parse_tpu(f"{kind}-{max(CHIPS[kind].sizes[0], 1)}")
    found = check(huge, SPEC, smallest, 8, timeout_s=120)
    assert f"exceeds available HBM ({CHIPS[kind].usable_gib}G)" in found.error
    assert check(config(), SPEC, smallest, 8, timeout_s=120).fits


def _tiny_names() -> list[str]:
    import modelzoo

    return modelzoo.list_models(distinct=True)


@compiles
@pytest.mark.slow
@pytest.mark.parametrize("name", _tiny_names())
def test_every_model_compiles(name, tmp_path, monkeypatch):
    import modelzoo

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    small = config(model={"name": name, **modelzoo.model_info(name).tiny}, batch_size=128)
    found = check(small, spec_from_shapes(small), parse_tpu("v5e-1"), 128, timeout_s=300)
    assert found.fits, found.error
    assert found.memory["aliased"] > 0
    json.dumps(found.memory)
