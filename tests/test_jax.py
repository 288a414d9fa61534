"""The builders under JAX, the way on for TPUs that TensorFlow does not reach: the same weights give the same outputs."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from test_models import inputs, make, tiny_instances

ROOT = Path(__file__).parent.parent
UNDER_JAX = """
import json, sys
import keras, numpy as np
import modelzoo, modelzoo.layers
assert keras.backend.backend() == "jax"
worst = {}
for name in json.loads(sys.argv[2]):
    saved = np.load(f"{sys.argv[1]}/{name}.npz")
    loaded = keras.models.load_model(f"{sys.argv[1]}/{name}.keras")
    built = modelzoo.create_model(name, **modelzoo.model_info(name).tiny)
    for variable, value in zip(built.weights, loaded.weights, strict=True):
        variable.assign(value)
    for kind, model in (("loaded", loaded), ("built", built)):
        outputs = keras.ops.convert_to_numpy(model(saved["x"], training=False))
        size = max(1.0, np.abs(saved["outputs"]).max())  # thousands in deep nets, whose weights were all enlarged
        worst[f"{name}, {kind}"] = float(np.abs(outputs - saved["outputs"]).max() / size)
print(json.dumps(worst))
"""


def test_each_builder_gives_under_jax_what_it_gives_under_tensorflow(tmp_path):
    if not importlib.util.find_spec("jax"):
        pytest.skip("jax is not installed")
    names = tiny_instances()
    for name in names:
        model = make(name)
        rng = np.random.default_rng(0)
        for variable in model.weights:  # also what begins with zeros or ones, or the test could not see it
            variable.assign(variable + 0.1 * np.abs(rng.normal(size=variable.shape)).astype(np.float32))
        x = inputs(model)
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", x=x, outputs=keras.ops.convert_to_numpy(model(x, training=False)))
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", UNDER_JAX, str(tmp_path), json.dumps(names)]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stderr[-2000:]
    worst = json.loads(result.stdout.splitlines()[-1])
    assert set(worst) == {f"{name}, {kind}" for name in names for kind in ("loaded", "built")}
    assert {name: error for name, error in worst.items() if not error <= 1e-5} == {}
