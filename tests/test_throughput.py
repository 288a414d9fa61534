"""The benchmark against other frameworks trains the same nets everywhere, and one peer that fails stops nobody."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import throughput, throughput_report
from benchmarks.peers import PEERS, Peer, find_peer
from benchmarks.peers.products import products
from benchmarks.peers.protocol import PeerError, Process
from benchmarks.peers.trial import fastest, repeat
from benchmarks.peers.workloads import WORKLOADS, Workload, build_model, random_examples, trainable_parameters

SMALL = {
    "mlp": WORKLOADS["mlp"].model,
    "mnist": dict(WORKLOADS["mnist"].model, dropout=0.0, dropout_dense=0.0),
    "cifar": WORKLOADS["cifar"].model,
    "resnet": WORKLOADS["resnet"].model,
    "lstm": WORKLOADS["lstm"].model,
    "transformer": WORKLOADS["transformer"].model,
    "transformer_6x512": dict(WORKLOADS["transformer_6x512"].model, depth=3, embed_dim=64),
}


def examples(workload: Workload, size: int = 8) -> np.ndarray:
    x = random_examples(workload).normalised()[:size]
    if workload.is_text:
        x[:, -5:], x[0] = 0, 0  # padding, and a row of nothing else
    return x


def varied(model: keras.Model) -> keras.Model:
    """Biases and scales that are not all the same."""
    rng = np.random.default_rng(0)
    for weight in model.trainable_weights:
        if len(weight.shape) == 1 or "bias" in weight.path:
            weight.assign(weight + 0.1 * rng.normal(size=weight.shape))
    return model


def copy_to_torch(model: keras.Model, net) -> None:
    """Layer by layer: both have them in the same order, but for query, key and value, which are one in PyTorch."""
    import torch

    values = iter([keras.ops.convert_to_numpy(w) for w in model.trainable_weights])
    flat_from = next((layer.input.shape[1:] for layer in model.layers if isinstance(layer, keras.layers.Flatten)), None)

    def put(parameter, value) -> None:
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value)))

    for name, module in net.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            put(module.weight, next(values).transpose(3, 2, 0, 1))
            if module.bias is not None:
                put(module.bias, next(values))
        elif name.endswith("qkv"):
            parts = [(next(values).reshape(module.in_features, -1), next(values).reshape(-1)) for _ in range(3)]
            put(module.weight, np.concatenate([kernel.T for kernel, _ in parts]))
            put(module.bias, np.concatenate([bias for _, bias in parts]))
        elif isinstance(module, torch.nn.Linear):
            kernel, bias = next(values), next(values)
            kernel = kernel.reshape(-1, len(bias))
            if flat_from and module.in_features == np.prod(flat_from):  # PyTorch flattens [C, H, W]
                kernel, flat_from = kernel.reshape(*flat_from, -1).transpose(2, 0, 1, 3).reshape(kernel.shape), None
            put(module.weight, kernel.T)
            put(module.bias, bias)
        elif isinstance(module, torch.nn.LSTM):
            for parameter in (module.weight_ih_l0, module.weight_hh_l0, module.bias_ih_l0):
                put(parameter, next(values).T)
        elif isinstance(module, torch.nn.LayerNorm | torch.nn.BatchNorm2d):
            put(module.weight, next(values))
            put(module.bias, next(values))
        elif isinstance(module, torch.nn.Embedding):
            put(module.weight, next(values))
    assert next(values, None) is None


@pytest.mark.parametrize("name", SMALL)
def test_the_twin_in_pytorch_is_the_same_net(name):
    torch = pytest.importorskip("torch", reason="the [bench] extra is not installed")
    from benchmarks.peers.torch_nets import make_net

    workload = Workload(SMALL[name])
    model, net = varied(build_model(workload)), make_net(workload.model).eval()
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == trainable_parameters(model)
    if name == "resnet":
        return  # its shortcuts stand at other places; the number of parameters says what its logits would
    copy_to_torch(model, net)
    x = torch.from_numpy(examples(workload))
    with torch.no_grad():
        found = net(x.permute(0, 3, 1, 2) if x.ndim == 4 else x).numpy()
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x.numpy())), atol=1e-4)


@pytest.mark.parametrize("name", ["mlp", "cifar", "lstm", "transformer", "transformer_6x512"])
def test_the_twin_in_jax_is_the_same_net(name):
    pytest.importorskip("jax", reason="the [bench] extra is not installed")
    from benchmarks.peers.plain_jax import make_net

    workload = Workload(SMALL[name])
    model, x = varied(build_model(workload)), examples(workload)
    found = make_net(workload.model)([keras.ops.convert_to_numpy(w) for w in model.trainable_weights], x)
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(x)), atol=1e-4)


def test_the_hand_written_adam_is_keras_adam():
    jax = pytest.importorskip("jax", reason="the [bench] extra is not installed")
    from benchmarks.peers import plain_jax

    workload = WORKLOADS["mlp"]
    model, data = build_model(workload), random_examples(workload)
    x, y = data.ready(workload.batch)
    start = [jax.numpy.asarray(keras.ops.convert_to_numpy(w)) for w in model.trainable_weights]
    state, step = plain_jax._state(start), jax.jit(plain_jax.make_step(plain_jax.make_net(workload.model)))
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for rows in np.arange(5 * workload.batch).reshape(5, -1):
        state, loss = step(state, (x, y), rows)
        assert float(loss) == pytest.approx(float(model.train_on_batch(x[rows], y[rows])), abs=1e-3) or rows[0]
    for ours, theirs in zip(state[0], model.trainable_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("name", ["mlp", "cifar", "lstm", "transformer", "resnet"])
def test_the_products_are_those_of_the_net(name):
    """Forward, and as much again by the weights and by the input, but for the first layer's input."""
    from modelzoo.counting import layer_multiply_adds

    model = build_model(WORKLOADS[name])
    found = sum(product.multiply_adds * count for product, count in products(model, 2).items())
    forward = [2 * layer_multiply_adds(layer) for layer in model.layers]
    first = next(n for n in forward if n)
    if name == "lstm":  # only the product with its input has no gradient to go on to
        first = 2 * 64 * 32 * 4 * 128
    spared = 0 if name == "transformer" else first
    same = 0.03 if name == "resnet" else 1e-9  # our count takes padding for part of the input
    assert found == pytest.approx(3 * sum(forward) - spared, rel=same)


FAKE = """
import os, time
from benchmarks.peers.trial import Trial

def build(workload, examples, measure, *, kind="good", parameters=7):
    print("what a library prints")
    if kind == "bad":
        raise ValueError("cannot be built\\nand more")
    losses = iter([float("nan")] * 9 if kind == "nan" else [3.0, 2.0, 2.5, 1.0])
    def run(seconds):
        if kind == "dies" and seconds:
            os._exit(3)
        if kind == "sleeps" and seconds:
            time.sleep(60)
        return dict(steps=10, seconds=0.5, loss=next(losses))
    return Trial(run, kind, parameters)
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Makes peers of a module that trains nothing."""
    (tmp_path / "fake_peer.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda **arguments: Peer("fake_peer", "fake", arguments)


JOB = {"memory": (WORKLOADS["mlp"], None, "memory")}


def test_peers_that_fail_stop_nobody(fake):
    peers = {
        "good": fake(), "bad": fake(kind="bad"), "dies": fake(kind="dies"), "nan": fake(kind="nan"),
        "other": fake(parameters=8), "absent": Peer("no_such_library", "absent"),
    }  # fmt: skip
    rows = throughput.measure(peers, JOB, rounds=2, seconds=0.1)["memory"]["peers"]
    errors = {name: row.get("error") for name, row in rows.items()}
    assert errors == {
        "good": None,
        "bad": "ValueError: cannot be built",
        "dies": "ended with exit code 3: what a library prints",
        "nan": "the loss is not finite",
        "other": "another net: 8 parameters, not 7",
        "absent": "no_such_library is not installed",
    }
    assert throughput_report.rates(rows["good"]).tolist() == [20.0, 20.0]
    assert throughput_report.rates(rows["nan"]).tolist() == []


def test_a_peer_that_does_not_answer_is_left(fake, monkeypatch):
    process = Process(fake(kind="sleeps"))
    try:
        process.wait_until_ready()
        process.build("memory", *JOB["memory"])
        monkeypatch.setattr(Process, "run", lambda self, key, s: self._ask(0.2, dict(do="run", key=key, seconds=s)))
        with pytest.raises(PeerError, match="no answer in 0 s"):
            process.run("memory", 1.0)
    finally:
        process.close()


def test_a_loss_that_never_fell_is_told():
    trial = dict(steps=1, seconds=1.0, loss=2.0)
    rows = {"still": dict(settings="", parameters=7, loss=2.0, trials=[trial, trial])}
    throughput.check(rows)
    assert rows["still"]["warning"] == "the loss never fell"


def test_the_fastest_setting_wins_and_one_that_fails_is_out():
    def fails():
        raise RuntimeError("not here")

    candidates = {"fails": fails, "slow": lambda: run_of(1), "fast": lambda: run_of(5)}
    assert fastest(candidates, 0.01)[0] == "fast"
    with pytest.raises(RuntimeError, match="not here"):
        fastest({"fails": fails})


def test_the_winner_has_its_own_settings_again():
    """Candidates that share a model: the last one tried must not be what is measured."""
    model = {}

    def make(steps: int):
        model["steps"] = steps
        return run_of(steps)

    name, _ = fastest({"fast": lambda: make(9), "slow": lambda: make(1)}, 0.01)
    assert (name, model["steps"]) == ("fast", 9)


def run_of(steps: int):
    return repeat(lambda: 0.0, float, steps=steps)


def row(rates: list[float]) -> dict:
    return dict(settings="as it is", parameters=7, loss=2.0, trials=[dict(steps=r, seconds=1.0, loss=1.0) for r in rates])


def a_result() -> dict:
    """As a JSON of an earlier run has it."""
    peers = {"ours": row([200, 220, 210]), "fit": row([100, 100, 105]), "pytorch": {"error": "torch is not installed"}}
    measured = dict(probe_ms=[10.0, 11.0, 12.0], peers=peers)
    product = lambda seconds: [["matmul", [1, 2, 3, 4], 2, seconds, 24]]  # noqa: E731
    limited = [{"trials": [dict(steps=1, seconds=1.0, loss=0.0, products=product(s))]} for s in (0.001, 0.002)]
    workload = dict(workload={"batch": 64}, data="mnist", measures=dict(memory=measured, input=measured))
    workload["limit"] = dict(probe_ms=[], peers=dict(zip(("torch", "jax"), limited, strict=True)))
    machine = dict(cpu="a CPU", cores=2, load_at_start=[0.1, 0.2, 0.3], versions={"keras": "3"}, date="2026-11-22 12:00")
    scaling = {"mlp, batch 16": dict(probe_ms=[10.0], peers=dict(ours=row([1000])))}
    return dict(machine=machine, rounds=3, seconds=1.0, workloads={"mlp": workload}, input_alone=measured, scaling=scaling)


def test_tables_of_a_stored_run(tmp_path):
    console = pytest.importorskip("rich.console", reason="the [bench] extra is not installed")
    path = tmp_path / "results" / "throughput.json"
    throughput_report.write_results(a_result(), path)
    kept = console.Console(width=160, record=True, file=open(tmp_path / "out.txt", "w"))  # noqa: SIM115
    part = tmp_path / "part.json"
    throughput_report.write_results({**a_result(), "workloads": {"lstm": a_result()["workloads"]["mlp"]}, "rounds": 9}, part)
    found = throughput_report.read_results(path, part)
    assert (list(found["workloads"]), found["rounds"]) == (["mlp", "lstm"], 3)
    throughput_report.print_tables(found, kept)
    text = kept.export_text()
    for said in ("a CPU, 2 cores", "210 (to 220)", "2.00 (2.00 to 2.20)", "42%", "torch is not installed", "11.0 ms", "1.00"):
        assert said in text, said


def test_the_chart_of_a_stored_run(tmp_path):
    pytest.importorskip("matplotlib", reason="the [bench] extra is not installed")
    path = throughput_report.draw(a_result(), tmp_path / "chart.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workloads=mpl"], "unknown workload 'mpl'. Accepted: mlp, mnist, cifar"),
        (["--peers=ours,pytroch"], "unknown peer 'pytroch'. Accepted: ours, ours_bf16"),
        (["--peers=ours:fast"], "unknown plan 'fast' in peer 'ours:fast'. Accepted: auto, measure, graph"),
        (["--rounds=0"], "rounds and seconds must be positive. Received: 0"),
    ],
)
def test_bad_input_is_told_in_one_line(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["throughput", *arguments])
    assert throughput.main() == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1


def test_peers_by_name():
    assert find_peer("ours:graph").arguments == {"plan": "graph"}
    assert all(find_peer(name) is peer for name, peer in PEERS.items())


@pytest.mark.slow
def test_the_whole_on_one_workload(tmp_path):
    for module in ("torch", "jax", "rich", "matplotlib"):
        pytest.importorskip(module, reason="the [bench] extra is not installed")
    command = [
        sys.executable,
        "-m",
        "benchmarks.throughput",
        "--quick",
        "--workloads=mlp",
        "--peers=ours,fit,pytorch,plain_jax",
    ]
    command += ["--rounds=2", "--seconds=0.1", f"--out={tmp_path}", f"--data_dir={tmp_path}"]
    root = Path(__file__).parent.parent
    output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout
    assert "random data" in output
    (path,) = tmp_path.glob("*.json")
    measures = json.loads(path.read_text())["workloads"]["mlp"]["measures"]
    for measured in measures.values():
        assert all(len(row.get("trials", [])) == 2 for row in measured["peers"].values()), measured["peers"]
    assert (tmp_path / "throughput.png").exists()
