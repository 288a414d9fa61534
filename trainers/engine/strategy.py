"""Where a run computes: `tf.distribute` strategies by name."""

import dataclasses
import functools
import json
import os
import re

import numpy as np
import tensorflow as tf

from trainers.tpu_host import check_tpu

NAMES = "auto, cpu, cpu:N, gpu, mirrored, multiworker, tpu, tpu:NAME"


@functools.cache  # two MirroredStrategy objects over the same devices can collide in their collectives
def make_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """A strategy by name; the same object for the same name.

    Args:
      name: "auto" (all GPUs, else the CPU), "cpu", "cpu:N" (N logical devices of this machine's CPU), "gpu" (the first),
        "mirrored" (all GPUs), "multiworker" (the hosts that TF_CONFIG names), "tpu" (this machine's) or "tpu:NAME" (another
        by its name or grpc://host:port; both written after TensorFlow's guide; not yet run on a TPU).

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
    if name == "tpu" or name.startswith("tpu:"):
        return _tpu_strategy(name.partition(":")[2] or "local")
    if name == "multiworker":
        return _multiworker_strategy()
    count = re.fullmatch(r"cpu:([1-9]\d*)", name)
    if not count:
        raise ValueError(f"unknown strategy {name!r}. Accepted: {NAMES}")
    return tf.distribute.MirroredStrategy(_logical_cpus(int(count[1])))


@dataclasses.dataclass(frozen=True)
class Process:
    """This process among those of a strategy."""

    index: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this one writes."""
        return self.index == 0


def process_of(strategy: tf.distribute.Strategy) -> Process:
    """Which of the strategy's processes this is; one of one where there is only one."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return Process()
    resolver = strategy.cluster_resolver
    return Process(resolver.task_id, len(resolver.cluster_spec().as_dict()["worker"]))


def agree(strategy: tf.distribute.Strategy, numbers: list[int]) -> np.ndarray:
    """What the process of each replica said, [replicas, len(numbers)], the same everywhere. All processes must ask."""
    mine = strategy.experimental_distribute_values_from_function(lambda context: tf.constant([numbers], tf.int64))
    return strategy.gather(mine, axis=0).numpy()


def set_cluster(addresses: str, task: int | None) -> None:
    """Set TF_CONFIG from "host:port,host:port,..." and this process's place in it.

    Raises:
      ValueError: no such place, or not addresses.
    """
    workers = addresses.split(",")
    wrong = [address for address in workers if not re.fullmatch(r"[^\s:,]+:\d+|\[[^\]]+\]:\d+", address)]
    if wrong:
        raise ValueError(f"--cluster is host:port,host:port,... Received: {wrong[0]!r}")
    if task is None or not 0 <= task < len(workers):
        raise ValueError(f"--task must be 0 to {len(workers) - 1}, this process's place in --cluster. Received: {task}")
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": task}})


def _multiworker_strategy() -> tf.distribute.Strategy:
    """All hosts that TF_CONFIG names (https://www.tensorflow.org/tutorials/distribute/multi_worker_with_keras)."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", "{}"))
        found = len(cluster["cluster"]["worker"]), cluster["task"]["index"], cluster["task"]["type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            "strategy 'multiworker' needs TF_CONFIG with cluster.worker and task, or --cluster=host:port,... --task=N. "
            f"Received: TF_CONFIG={os.environ.get('TF_CONFIG')!r}"
        ) from error
    if found[2] != "worker":
        raise ValueError(f"in TF_CONFIG each task must be of type 'worker'; the first is the chief. Received: {found[2]!r}")
    return tf.distribute.MultiWorkerMirroredStrategy()


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


def _tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    """As https://www.tensorflow.org/guide/tpu has it. Not yet run on a TPU."""
    check_tpu(tpu)
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        if tpu != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        raise ValueError(f"TPU {tpu!r} cannot be used: {' '.join(_without_trace(str(error)).split())[:300]}") from error
    return tf.distribute.TPUStrategy(resolver)


def _without_trace(message: str) -> str:
    """Of what TensorFlow says of a failing graph, the last part, which names the fault."""
    return message.split("<stack traces unavailable>")[-1].split("[[{{node")[0]
