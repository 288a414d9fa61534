"""What the selftest knows of devices, and that one check that fails hides no other."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from trainers.runs import selftest
from trainers.speed import device as device_module


@pytest.mark.parametrize(
    ("device", "replicas", "peak"),
    [
        ("NVIDIA H200", 2, 2 * 989e12),
        ("NVIDIA A100-SXM4-40GB", 1, 312e12),
        ("NVIDIA L4", 1, 121e12),
        ("NVIDIA L40S", 1, None),
        ("NVIDIA GH200 480GB", 1, None),
        ("Tesla T4", 1, None),
        ("CPU x86_64", 2, None),
        ("TPU v2-8", 8, 4 * 45e12),
        ("TPU v3-8", 8, 4 * 123e12),
        ("TPU v4-8", 4, 4 * 275e12),
        ("TPU v5litepod-4", 4, 4 * 197e12),
        ("TPU v5p-8", 4, 4 * 459e12),
        ("TPU v6e-4", 4, 4 * 918e12),
        ("TPU v9-4", 4, None),
        ("TPU of unknown type", 8, None),
    ],
)
def test_the_peak_of_a_device(device, replicas, peak):
    assert device_module.peak_operations(device, replicas) == peak


class Strategy(SimpleNamespace):
    """As much of one as is asked for its kind."""


def on(device: str, replicas: int) -> Strategy:
    return Strategy(num_replicas_in_sync=replicas, extended=SimpleNamespace(worker_devices=[f"/device:{device}:0"] * replicas))


def test_a_strategy_is_not_compared_with_itself(monkeypatch):
    assert selftest._reference(on("CPU", 1)) is None
    assert selftest._reference(on("CPU", 2)) == ("cpu", 1e-5)
    assert selftest._reference(on("GPU", 1)) == ("cpu", 1e-4)
    assert selftest._reference(on("GPU", 2)) == ("gpu", 1e-5)
    monkeypatch.setattr(tf.distribute, "TPUStrategy", Strategy)
    assert selftest._reference(on("TPU", 8)) == ("cpu", 1e-2)


def test_a_tpu_is_named_by_its_environment(monkeypatch):
    monkeypatch.setattr(tf.distribute, "TPUStrategy", Strategy)
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v3-8")
    assert device_module.device_name(on("TPU", 8)) == "TPU v3-8"
    monkeypatch.delenv("TPU_ACCELERATOR_TYPE")
    assert device_module.device_name(on("TPU", 8)) == "TPU of unknown type"


def test_two_replicas_and_the_device_are_told(two_replicas):
    assert device_module.device_name(two_replicas).startswith("CPU ")
    assert selftest._replicas(two_replicas, *selftest._reference(two_replicas))[0]


def test_a_throughput_that_fails_hides_no_check(monkeypatch):
    def fails(strategy):
        raise MemoryError("too little\nmemory")

    monkeypatch.setattr(selftest, "_throughput", fails)
    for name in ("_resumed", "_padded", "_plan", "_family"):
        monkeypatch.setattr(selftest, name, lambda *arguments: (True, "", ""))
    found = selftest.selftest("cpu")
    assert found["throughput"] is None
    assert not any(check["name"].startswith("1 = ") for check in found["checks"])
    (failed,) = [check for check in found["checks"] if not check["ok"]]
    assert (failed["name"], failed["found"]) == ("throughput", "MemoryError: too little memory")
