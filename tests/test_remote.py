"""Runs and data at an address. TensorFlow's file system in memory, ram://, stands in for a bucket: it goes the same way as gs://."""

import functools
import json
import uuid
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import trainers
from trainers.config import Config
from trainers.engine.signals import Interrupted
from trainers.remote import fetch, local
from trainers.runs import bucket
from trainers.runs.checkpoint import Saving, newest_good
from trainers.runs.finished import evaluate_run, predict_run

run = functools.partial(trainers.run, plan="graph")  # which is traced soonest; test_plans.py has the others

TABLE = "length,width,label\n" + "".join(f"{i % 7},{i % 5},{'ab'[i % 7 > 3]}\n" for i in range(70))


@pytest.fixture
def address() -> str:
    """Of a folder that nobody used before."""
    return f"ram://{uuid.uuid4().hex}"


def put(address: str, text: str) -> str:
    tf.io.gfile.makedirs(address.rpartition("/")[0])
    with tf.io.gfile.GFile(address, "w") as file:
        file.write(text)
    return address


def config(path: str, **changes) -> Config:
    given = dict(
        data={"name": "csv", "path": path, "target": "label"}, model={"name": "mlp", "widths": (4,)},
        optimizer={"name": "adam"}, batch_size=8, steps=24, eval_every_steps=6,
    )  # fmt: skip
    return Config(**{**given, **changes})


def names(address: str) -> set[str]:
    return {
        f"{folder}/{name}".removeprefix(f"{address}/").removeprefix("/")
        for folder, _, files in tf.io.gfile.walk(address)
        for name in files
    }


def test_a_folder_goes_there_and_back(address, tmp_path):
    put(f"{address}/data/a.txt", "one")
    put(f"{address}/data/deep/b.txt", "two")
    assert local(f"{address}/data/a.txt").read_text() == "one"
    copy = fetch(f"{address}/data/", tmp_path)
    assert {p.relative_to(copy).as_posix(): p.read_text() for p in copy.rglob("*.txt")} == {"a.txt": "one", "deep/b.txt": "two"}
    assert local("~/x") == Path.home() / "x"


def test_what_is_not_there_is_told(address):
    with pytest.raises(FileNotFoundError, match=f"no such file or folder: {address}/people.csv"):
        run(config(f"{address}/people.csv"), f"{address}/run")
    assert not tf.io.gfile.exists(f"{address}/run")
    with pytest.raises(OSError, match="nowhere://x"):
        local("nowhere://x")


def test_a_run_and_its_data_at_an_address(address, tmp_path):
    """The same bits as in a folder; evaluated and used from there."""
    path = put(f"{address}/data/people.csv", TABLE)
    summary = run(config(path), f"{address}/run", strategy="cpu")
    here = run(config(path), tmp_path / "run", strategy="cpu")
    assert summary["test"] == here["test"]
    expected = {p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    ours = {n for n in expected if not n.startswith(("tensorboard/", ".lock"))}
    assert ours <= names(f"{address}/run")
    assert not any("unfinished" in name or name.endswith(".lock") for name in names(f"{address}/run"))
    metrics, _ = evaluate_run(f"{address}/run")
    assert metrics == pytest.approx(summary["test"], abs=0)
    ((_, answers),) = predict_run(f"{address}/run", [put(f"{address}/data/new.csv", "length,width\n1,2\n6,0\n")])
    assert len(answers) == 2
    (tmp_path / "x").mkdir()
    assert run(config(path), f"{address}/run") == json.loads(
        (fetch(f"{address}/run", tmp_path / "x") / "summary.json").read_text()
    )


def test_a_run_that_was_stopped_goes_on_from_the_address(address, tmp_path):
    path = put(f"{address}/data/people.csv", TABLE)

    def stop(event, learner):
        if event == "evaluated" and learner.progress.step == 12:
            learner.interrupt(15)

    with pytest.raises(Interrupted):
        run(config(path), f"{address}/run", strategy="cpu", hooks=[stop])
    steps = {name.split("/")[1] for name in names(f"{address}/run") if name.startswith("checkpoints/")}
    assert "0000000012" in steps
    run(config(path), f"{address}/run", strategy="cpu")
    run(config(path), tmp_path / "whole", strategy="cpu")
    ends = [newest_good(folder / "checkpoints") for folder in (fetch(f"{address}/run", tmp_path), tmp_path / "whole")]
    assert ends[0].name == ends[1].name
    assert (ends[0] / "state.safetensors").read_bytes() == (ends[1] / "state.safetensors").read_bytes()


def test_whenever_the_machine_goes_the_address_has_a_whole_run(address, tmp_path, monkeypatch):
    """Cut off after each file that is sent: what is there goes on to the same end."""
    path = put(f"{address}/data/people.csv", TABLE)
    saving = Saving(every_steps=4)
    run(config(path), tmp_path / "whole", strategy="cpu", saving=saving)
    end = newest_good(tmp_path / "whole" / "checkpoints")
    send, counted = bucket.send, [0, 0]

    def cut(file, to):
        if counted[0] >= counted[1]:
            raise tf.errors.UnavailableError(None, None, "the machine is gone")
        counted[0] += 1
        send(file, to)

    monkeypatch.setattr(bucket, "send", cut)
    for sent in (1, 5, 12):
        counted[:] = [0, sent]
        with pytest.raises(OSError, match=f"cannot write to {address}/run{sent}, but all of it is in .*: the machine is gone"):
            run(config(path), f"{address}/run{sent}", strategy="cpu", saving=saving)
        counted[:] = [0, 10**9]
        run(config(path), f"{address}/run{sent}", strategy="cpu", saving=saving)
        found = newest_good(fetch(f"{address}/run{sent}", tmp_path) / "checkpoints")
        assert (found / "state.safetensors").read_bytes() == (end / "state.safetensors").read_bytes(), sent


def test_weights_at_an_address(address, tmp_path):
    path = put(f"{address}/data/people.csv", TABLE)
    run(config(path), f"{address}/first", strategy="cpu")
    summary = run(config(path, steps=1), tmp_path / "second", strategy="cpu", init_from=f"{address}/first")
    assert np.isfinite(summary["test"]["loss"])
    assert json.loads((tmp_path / "second" / "config.json").read_text())["init_from"] == f"{address}/first"


def test_the_data_dir_may_be_an_address(address, tmp_path):
    put(f"{address}/data/people.csv", TABLE)
    summary = run(config("people.csv", steps=1), tmp_path / "run", strategy="cpu", data_dir=f"{address}/data")
    assert np.isfinite(summary["test"]["loss"])
