"""Fixtures of all tests. TensorFlow is set up once: four logical CPU devices, of which strategies take what they need."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pathlib import Path

import pytest
import tensorflow as tf

(_cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(_cpu, [tf.config.LogicalDeviceConfiguration()] * 4)


@pytest.fixture(scope="session")
def one_replica() -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy("CPU:0")


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    """Only one of its kind: two MirroredStrategy objects in one process can collide in their collectives."""
    from trainers import make_strategy

    return make_strategy("cpu:2")


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> str:
    """Where tensorflow-datasets keeps what the tests prepare."""
    return str(tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real files that are not part of the project."""
    folder = os.environ.get("MODELZOO_TEST_DATA")
    if not folder:
        pytest.skip("MODELZOO_TEST_DATA is not set")
    if not Path(folder).is_dir():
        pytest.skip(f"MODELZOO_TEST_DATA names no folder: {folder}")
    return Path(folder)


@pytest.fixture(autouse=True)
def _same_seed():
    import keras

    keras.utils.set_random_seed(0)
