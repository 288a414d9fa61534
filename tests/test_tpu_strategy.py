"""--strategy=tpu without a TPU: what is called and in which order, with stand-ins; what the environment gets; what errors say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from trainers import tpu_host
from trainers.engine import strategy

ROOT = Path(__file__).parent.parent
make_strategy = strategy.make_strategy.__wrapped__  # without the cache, which would keep the stand-ins


@pytest.fixture
def calls(monkeypatch) -> list[tuple]:
    """What was called of TensorFlow, in order."""
    calls = []

    class Resolver:
        def __init__(self, tpu):
            calls.append(("resolve", tpu))

    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-1")
    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", Resolver)
    monkeypatch.setattr(tf.config, "experimental_connect_to_cluster", lambda resolver: calls.append(("connect",)))
    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", lambda resolver: calls.append(("initialise",)))
    monkeypatch.setattr(tf.distribute, "TPUStrategy", lambda resolver: calls.append(("strategy",)) or "a strategy")
    return calls


def test_a_local_tpu_is_not_connected_to(calls):
    assert make_strategy("tpu") == "a strategy"
    assert calls == [("resolve", "local"), ("initialise",), ("strategy",)]


def test_a_named_tpu_is(calls, monkeypatch):
    monkeypatch.setenv("KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", "grpc://10.0.0.2:8470")  # as GKE says where it is
    assert make_strategy("tpu:mine") == "a strategy"
    assert calls == [("resolve", "mine"), ("connect",), ("initialise",), ("strategy",)]


def test_a_name_is_no_use_outside_googles_cloud(calls, monkeypatch):
    """TensorFlow itself tries for 12 s."""
    monkeypatch.delenv("KUBE_GOOGLE_CLOUD_TPU_ENDPOINTS", raising=False)
    monkeypatch.setenv("GCE_METADATA_HOST", "metadata.invalid:80")
    with pytest.raises(ValueError, match=r"TPU 'mine' cannot be looked up: .* does not answer .*Accepted here: --tpu=grpc://"):
        make_strategy("tpu:mine")
    assert calls == []


def test_an_address_is_tried_first(calls):
    import socket

    with socket.create_server(("localhost", 0)) as server:
        address = f"grpc://localhost:{server.getsockname()[1]}"
        assert make_strategy(f"tpu:{address}") == "a strategy"
    assert calls == [("resolve", address), ("connect",), ("initialise",), ("strategy",)]
    calls.clear()
    with pytest.raises(ValueError, match=f"no TPU answers at {address}"):
        make_strategy(f"tpu:{address}")
    with pytest.raises(ValueError, match="a TPU's address is grpc://HOST:PORT. Received: 'grpc://there'"):
        make_strategy("tpu:grpc://there")
    assert calls == []


def test_what_tensorflow_says_becomes_one_line(calls, monkeypatch):
    def fails(resolver):
        raise tf.errors.InternalError(
            None, None, "Graph execution error:\n\nDetected at node a\n<stack traces unavailable>\nno chip\n\t [[{{node a}}]]"
        )

    monkeypatch.setattr(tf.tpu.experimental, "initialize_tpu_system", fails)
    with pytest.raises(ValueError, match=r"^TPU 'local' cannot be used: no chip$"):
        make_strategy("tpu")


def test_without_a_chip_tensorflow_is_not_asked(calls, monkeypatch):
    monkeypatch.delenv("TPU_ACCELERATOR_TYPE")
    with pytest.raises(ValueError, match="needs a TPU on this machine. Found: no TPU chip"):
        make_strategy("tpu")
    assert calls == []


def test_chips_are_found_by_their_pci_numbers(tmp_path):
    for name, vendor, device in (("a", "0x1ae0", "0x0063"), ("b", "0x1ae0", "0x0042"), ("c", "0x10de", "0x0063")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "device").write_text(f"{device}\n")
    assert tpu_host.local_chips(tmp_path) == ["v5e"], "a network card of Google's and another maker's device are no TPU"


NAMES = (
    "TPU_SKIP_MDS_QUERY",
    "PJRT_DEVICE",
    "NEXT_PLUGGABLE_DEVICE_USE_C_API",
    "TF_PLUGGABLE_DEVICE_LIBRARY_PATH",
    "TPU_LOAD_LIBRARY",
)


@pytest.mark.parametrize(
    ("libtpu", "tpu", "chips", "wanted"),
    [
        (False, "local", [], set()),
        (True, "local", [], {"TPU_SKIP_MDS_QUERY", "TPU_LOAD_LIBRARY"}),
        (True, "local", ["v4"] * 4, set()),
        (True, "local", ["v5e"], {"PJRT_DEVICE", "NEXT_PLUGGABLE_DEVICE_USE_C_API", "TF_PLUGGABLE_DEVICE_LIBRARY_PATH"}),
        (True, "mine", [], {"TPU_SKIP_MDS_QUERY", "TPU_LOAD_LIBRARY"}),
        (True, "mine", ["v5e"], {"TPU_LOAD_LIBRARY"}),
    ],
)
def test_the_environment(libtpu, tpu, chips, wanted, tmp_path, monkeypatch):
    if libtpu:
        (tmp_path / "libtpu").mkdir()
        (tmp_path / "libtpu" / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
    elif tpu_host.importlib.util.find_spec("libtpu"):
        pytest.skip("libtpu is installed")
    monkeypatch.setattr(os, "environ", {})
    tpu_host.prepare_environment(tpu, chips)
    assert set(os.environ) == wanted
    before = dict(os.environ) | {"TPU_SKIP_MDS_QUERY": "0"}
    monkeypatch.setattr(os, "environ", dict(before))
    tpu_host.prepare_environment(tpu, chips)
    assert os.environ == before, "what the user has set stays"


@pytest.mark.parametrize("program", ["train", "evaluate", "selftest"])
def test_the_flag_is_refused_elsewhere(program):
    command = [sys.executable, "-m", f"trainers.{program}", "--tpu=mine", "--strategy=cpu"]
    command += {"train": ["--config=digits_mlp", "--workdir=never"], "evaluate": ["--workdir=never"], "selftest": []}[program]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1), result.stderr
    assert "--tpu goes with --strategy=tpu. Received: --tpu=mine --strategy=cpu" in result.stderr
