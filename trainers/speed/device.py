"""What a strategy's device is, and what it can do at most."""

import os
import platform
import re
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

from trainers.speed.keras_inside import all_layers

# Floating-point operations per second of one device, dense, from the vendors' data sheets: bfloat16 with float32 sums.
_GPU_PEAK = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L4": 121e12}
# Of one of those that the number in "v3-8" counts: cores, of which a chip has two; chips in v5litepod and v6e.
_TPU_PEAK = {"v2": 22.5e12, "v3": 61.5e12, "v4": 137.5e12, "v5litepod": 197e12, "v5p": 229.5e12, "v6e": 918e12}
_GAIN_FROM_BFLOAT16 = (layers.Conv1D, layers.Conv2D, layers.Conv3D)  # XLA's float32 attention is faster than bfloat16


def on_cpu(strategy: tf.distribute.Strategy) -> bool:
    return "CPU" in strategy.extended.worker_devices[0].upper()


def on_device(tensors, strategy: tf.distribute.Strategy):
    """Tensors in the memory of the strategy's device, for programs that read them many times; on a CPU they are there already.

    TensorFlow keeps int32 in the host's memory: such tensors are copied at each call of a program.

    Args:
      tensors: a nest of tensors in the host's memory.
      strategy: of one device.
    """
    if on_cpu(strategy):
        return tensors
    with tf.device(strategy.extended.worker_devices[0]):
        return tf.nest.map_structure(tf.identity, tensors)


def device_name(strategy: tf.distribute.Strategy) -> str:
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return f"TPU {os.environ.get('TPU_ACCELERATOR_TYPE', 'of unknown type')}"
    if on_cpu(strategy):
        return f"CPU {platform.machine()}"
    return tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0]).get("device_name", "GPU")


def peak_operations(device: str, replicas: int) -> float | None:
    """Floating-point operations per second in bfloat16 of all devices together, by name; None where it is not known."""
    tpu = re.fullmatch(r"TPU (\w+)-(\d+)", device)
    if tpu:
        return _TPU_PEAK[tpu[1]] * int(tpu[2]) if tpu[1] in _TPU_PEAK else None
    return next((peak * replicas for name, peak in _GPU_PEAK.items() if re.search(rf"\b{name}\b", device)), None)


def gains_from_bfloat16(model: keras.Model, strategy: tf.distribute.Strategy, cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether a model that computes in float32 on a CPU would be faster in bfloat16."""
    if not on_cpu(strategy) or not cpuinfo.exists() or not re.search(r"\b(avx512_bf16|amx_bf16)\b", cpuinfo.read_text()):
        return False
    found = [layer for layer in all_layers(model) if isinstance(layer, _GAIN_FROM_BFLOAT16)]
    return bool(found) and all(layer.compute_dtype == "float32" for layer in found)
