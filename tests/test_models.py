"""Every registered model. A new family needs no test of its own here: its `tiny` arguments bring it in."""

import functools
import gc
import inspect
import json
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import array_data, make_learner, train, weights

import modelzoo
from modelzoo.registry import find_entry


def tiny_instances() -> list[str]:
    """One name for each builder and set of arguments: several names share their family's tiny instance."""
    return modelzoo.list_models(distinct=True)


def with_defaults() -> list[str]:
    """Names whose builder needs no argument."""
    signatures = {name: modelzoo.model_info(name).signature for name in modelzoo.list_models()}
    return [
        name for name, s in signatures.items() if all(p.default is not inspect.Parameter.empty for p in s.parameters.values())
    ]


each_model = pytest.mark.parametrize("name", tiny_instances())


def make(name: str, **options) -> keras.Model:
    keras.utils.set_random_seed(0)
    return modelzoo.create_model(name, **{**find_entry(name).tiny, **options})


@functools.cache
def tiny(name: str) -> keras.Model:
    return make(name)


def inputs(model: keras.Model, size: int = 8) -> np.ndarray:
    """Random x; tokens begin with what is no padding and end with some."""
    rng, spec = np.random.default_rng(0), model.inputs[0]
    if spec.dtype != "int32":
        return rng.normal(size=(size, *spec.shape[1:])).astype(np.float32)
    ids = rng.integers(1, model.get_layer("embedding").input_dim, (size, *spec.shape[1:]))
    ids[::2, -2:] = 0
    return ids.astype(np.int32)


@each_model
def test_gives_float32_logits(name):
    model = tiny(name)
    outputs = model(inputs(model))
    assert outputs.shape == (8, find_entry(name).tiny["num_classes"])
    assert outputs.dtype == tf.float32
    assert np.isfinite(outputs).all()


@each_model
def test_every_variable_gets_a_gradient(name):
    model = tiny(name)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(model(inputs(model), training=True) - 1.0))
    for variable, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_weights), strict=True):
        assert gradient is not None, f"no gradient for {variable.path}"
        gradient = tf.convert_to_tensor(gradient)
        assert np.isfinite(gradient).all(), f"gradient of {variable.path} is not finite"
        assert np.any(gradient), f"gradient of {variable.path} is 0 everywhere"


@each_model
def test_saved_and_loaded_it_gives_the_same(name, tmp_path):
    model = tiny(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(inputs(model)), model(inputs(model)))


@each_model
def test_xla_equals_graph(name):
    model = tiny(name)
    graph, xla = (tf.function(lambda x: model(x, training=False), jit_compile=jit)(inputs(model)) for jit in (False, True))
    np.testing.assert_allclose(xla, graph, rtol=0, atol=1e-5)


@each_model
def test_bfloat16_is_close_to_float32(name):
    model, half = tiny(name), make(name, dtype="mixed_bfloat16")
    half.set_weights(model.get_weights())
    outputs = half(inputs(model))
    assert outputs.dtype == tf.float32
    assert all(w.dtype == "float32" for w in half.trainable_weights)
    np.testing.assert_allclose(outputs, model(inputs(model)), rtol=0.03, atol=0.05)
    assert keras.config.dtype_policy().name == "float32", "the policy is set only while building"


def _is_small(name: str) -> bool:
    """Whether a model's family has a tiny instance that trains 150 steps in a second or two."""
    builder = find_entry(name).builder
    return getattr(builder, "func", builder).__module__.rpartition(".")[2] in ("mlp", "cnn", "rnn", "transformer")


@pytest.mark.parametrize(
    "name", [name if _is_small(name) else pytest.param(name, marks=pytest.mark.slow) for name in tiny_instances()]
)
def test_overfits_one_batch(name, one_replica):
    x, classes = inputs(tiny(name)), find_entry(name).tiny["num_classes"]
    data = array_data(x, np.arange(8, dtype=np.int32) % classes, num_classes=classes)
    learner = make_learner(lambda: make(name), data, one_replica, optimizer=dict(name="adam", learning_rate=0.02))
    assert min(train(learner, data, 150, 8)) < 0.02


@each_model
def test_says_its_multiply_adds(name):
    info = modelzoo.model_info(name, **find_entry(name).tiny)
    assert getattr(info.model, "inputs", None) is None or info.multiply_adds > 0


@pytest.mark.parametrize("name", [name for name in modelzoo.list_models() if find_entry(name).params])
def test_has_as_many_parameters_as_stated(name):
    assert modelzoo.model_info(name).trainable_parameters == find_entry(name).params


@pytest.mark.parametrize("name", with_defaults())
def test_takes_other_inputs_than_its_defaults(name):
    default = modelzoo.model_info(name).arguments["input_shape"]
    side = 36 if default[0] < 100 else 2 * default[0]  # which the patches and windows of larger nets divide
    shape = {1: (12,), 3: (side, side, 2)}[len(default)]
    model = modelzoo.model_info(name, input_shape=shape, num_classes=4).model
    assert (model.input_shape[1:], model.output_shape) == (shape, (None, 4))


def image_nets() -> list[str]:
    return [name for name in tiny_instances() if "features" in modelzoo.model_info(name, **find_entry(name).tiny).arguments]


@pytest.mark.parametrize("name", image_nets())
def test_gives_feature_maps_with_their_strides(name):
    model = modelzoo.model_info(name, **find_entry(name).tiny, features=True).model
    side = model.input_shape[1]
    assert model.output
    for key, output in model.output.items():
        kind, _, stride = key.rpartition("_")
        assert kind == "stride"
        assert abs(output.shape[1] - side / int(stride)) <= 1, "a convolution without padding drops what does not divide"
    tiny_arguments = {**find_entry(name).tiny, "num_classes": 0}
    features = modelzoo.model_info(name, **tiny_arguments)
    assert len(features.output_shape) == 2
    assert "logits" not in [layer.name for layer in features.model.layers]
    for argument in ("pooling", "drop_path"):
        if argument in features.arguments and features.arguments[argument] == "average":
            assert len(modelzoo.model_info(name, **{**tiny_arguments, argument: None}).output_shape) in (2, 4)
        if argument == "drop_path" and argument in features.arguments:
            dropping = modelzoo.model_info(name, **{**tiny_arguments, argument: 0.2}).model
            assert max(getattr(layer, "rate", 0) for layer in dropping.layers) in (
                0.2,
                0,
            )  # 0: a single block is never left out


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "resnet50",
            dict(input_shape=(16, 16, 3)),
            "images must be 32 x 32 or larger for this net's strides. Received: (16, 16, 3)",
        ),
        ("resnet50", dict(input_shape=(64,)), "images have the input_shape (height, width, channels). Received: (64,)"),
        ("resnet50", dict(stem="imagenett"), "unknown stem 'imagenett'. Accepted: imagenet, cifar"),
        ("resnet50", dict(pooling="mean"), "unknown pooling 'mean'. Accepted: average, max, None"),
        ("resnet50", dict(pooling=None), "logits need features that are pooled: pooling=None goes with num_classes=0"),
        (
            "resnet50",
            dict(mean_std=((0.5,), (0.5,))),
            "mean_std needs 3 numbers each, one a channel. Received: ((0.5,), (0.5,))",
        ),
        (
            "vit_s16",
            dict(input_shape=(224, 220, 3)),
            "height and width must be multiples of 16 for this net. Received: (224, 220, 3)",
        ),
        ("vit_s16", dict(pooling="average"), "unknown pooling 'average'. Accepted: cls, mean"),
        (
            "swin_tiny",
            dict(input_shape=(256, 256, 3)),
            "height and width must be multiples of 224 for this net. Received: (256, 256, 3)",
        ),
        ("densenet40", dict(stem=""), "unknown stem ''. Accepted: imagenet, cifar"),
    ],
)
def test_images_and_options_that_a_net_does_not_take(name, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        modelzoo.create_model(name, **options)


def test_counting_allocates_nothing():
    """Even after the scope's end, and within others of Keras'."""
    before = {id(v) for v in gc.get_objects() if isinstance(v, tf.Variable)}
    model = modelzoo.model_info("vgg16").model
    with keras.StatelessScope():
        pass
    assert all(variable._value is None for variable in model.weights)
    assert not [v for v in gc.get_objects() if isinstance(v, tf.Variable) and id(v) not in before]


def test_images_are_normalised_in_the_model():
    tiny_arguments = find_entry("resnet").tiny
    plain = make("resnet")
    normalised = modelzoo.create_model("resnet", **tiny_arguments, mean_std=((0.5, 0.4, 0.3), (0.25, 0.2, 0.1)))
    normalised.set_weights(plain.get_weights())
    x = np.random.default_rng(0).random((2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(normalised(x), plain((x - [0.5, 0.4, 0.3]) / [0.25, 0.2, 0.1]), rtol=1e-4)


@pytest.mark.parametrize("pools", [(1, 1), (2, 1)])
def test_an_unknown_pooling_is_told(pools):
    with pytest.raises(ValueError, match="unknown pooling 'maxx'. Accepted: max, average"):
        modelzoo.create_model("cnn", input_shape=(8, 8, 1), num_classes=3, filters=(4, 8), pools=pools, pooling="maxx")


def test_builders_give_the_same_under_pytorch(tmp_path):
    """With the weights that they have here: the builders use keras.ops alone."""
    pytest.importorskip("torch", reason="the [parity] extra is not installed")
    for name in tiny_instances():
        model = tiny(name)
        arrays = {f"w{i:03d}": w for i, w in enumerate(weights(model))}
        np.savez(tmp_path / f"{name}.npz", x=inputs(model), outputs=model(inputs(model)), **arrays)
    program = """
import sys, json, numpy as np, keras, modelzoo
from modelzoo.registry import find_entry
worst = {}
for name in json.loads(sys.argv[2]):
    saved = np.load(f"{sys.argv[1]}/{name}.npz")
    model = modelzoo.create_model(name, **find_entry(name).tiny)
    variables = [w for w in model.weights if "seed" not in w.path]
    for i, variable in enumerate(variables):
        variable.assign(saved[f"w{i:03d}"])
    worst[name] = float(np.abs(keras.ops.convert_to_numpy(model(saved["x"])) - saved["outputs"]).max())
print(json.dumps({"backend": keras.backend.backend(), "worst": worst}))
"""
    environment = {**os.environ, "KERAS_BACKEND": "torch"}
    command = [sys.executable, "-c", program, str(tmp_path), json.dumps(tiny_instances())]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["backend"] == "torch"
    assert {name: worst for name, worst in found["worst"].items() if worst > 1e-5} == {}
