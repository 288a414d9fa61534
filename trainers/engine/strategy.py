"""Where a run computes: `tf.distribute` strategies by name."""

import functools
import re

import tensorflow as tf

NAMES = "auto, cpu, cpu:N, gpu, mirrored, tpu"


@functools.cache  # two MirroredStrategy objects over the same devices can collide in their collectives
def make_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """A strategy by name; the same object for the same name.

    Args:
      name: "auto" (all GPUs, else the CPU), "cpu", "cpu:N" (N logical devices of this machine's CPU), "gpu" (the first),
        "mirrored" (all GPUs) or "tpu" (written after TensorFlow's guide; not yet run on a TPU).

    Raises:
      ValueError: an unknown name, or no such device.
    """
    gpus = [device.name.removeprefix("/physical_device:") for device in tf.config.list_physical_devices("GPU")]
    if name == "auto":
        name = "cpu" if not gpus else "gpu" if len(gpus) == 1 else "mirrored"
    if name in ("gpu", "mirrored") and not gpus:
        raise ValueError(f"strategy {name!r} needs a GPU that TensorFlow sees. Found: none. Accepted here: auto, cpu, cpu:N")
    if name == "cpu":
        return tf.distribute.OneDeviceStrategy("CPU:0")
    if name == "gpu":
        return tf.distribute.OneDeviceStrategy(gpus[0])
    if name == "mirrored":
        return tf.distribute.MirroredStrategy(gpus)
    if name == "tpu":
        return _tpu_strategy()
    count = re.fullmatch(r"cpu:([1-9]\d*)", name)
    if not count:
        raise ValueError(f"unknown strategy {name!r}. Accepted: {NAMES}")
    return tf.distribute.MirroredStrategy(_logical_cpus(int(count[1])))


def _logical_cpus(count: int) -> list[str]:
    """Split this machine's CPU into logical devices; TensorFlow allows it once, before anything has run."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    wanted = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    if not tf.config.get_logical_device_configuration(cpu):
        try:
            tf.config.set_logical_device_configuration(cpu, wanted)
        except RuntimeError as error:
            raise ValueError(f"strategy 'cpu:{count}' must be made before TensorFlow first computes") from error
    found = tf.config.list_logical_devices("CPU")
    if len(found) < count:
        raise ValueError(f"strategy 'cpu:{count}' needs {count} logical devices. Found: {len(found)}, set up earlier")
    return [device.name for device in found[:count]]


def _tpu_strategy() -> tf.distribute.Strategy:
    """On a TPU VM, as https://www.tensorflow.org/guide/tpu has it. Not yet run on a TPU."""
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
        raise ValueError(f"strategy 'tpu' needs a TPU on this machine: {str(error).splitlines()[0]}") from error
    return tf.distribute.TPUStrategy(resolver)
