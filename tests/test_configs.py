"""Every config, shrunk, trains end to end; and some at full size on real data."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_sets import FEATURES, prepare

from benchmarks.faults import differences
from trainers import load_config, run
from trainers.engine.signals import Interrupted
from trainers.runs.checkpoint import Saving

NAMES = sorted(path.stem for path in (Path(__file__).parent.parent / "configs").glob("*.py"))


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """What configs over files of one's own need."""
    folder, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    rows = [",".join(f"{v:.2f}" for v in rng.random(8)) + f",{i % 2}" for i in range(80)]
    (folder / "pima-indians-diabetes.data.csv").write_text("\n".join(rows))
    (folder / "data.csv").write_text("\n".join([",".join([*"abcdefgh", "target"]), *rows]))
    texts = [f"{('dull', 'fine')[i % 2]} film number {i}\t{i % 2}" for i in range(80)]
    (folder / "texts.tsv").write_text("\n".join(["text\tlabel", *texts]))
    for i in range(40):
        (folder / "images" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "images" / "ab"[i % 2] / f"{i}.png")
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_shrunk_it_trains_end_to_end(name, files, data_dir, tmp_path):
    config = load_config(name)
    if config.data.name in FEATURES:
        prepare(config.data.name, data_dir)
    smaller = load_config(name, ["epochs=None", "steps=3", "batch_size=8", "eval_every_steps=2"])
    summary = run(smaller, tmp_path / "run", data_dir=str(files) if "path" in config.data else data_dir)
    assert summary["steps"] == 3
    assert np.isfinite(summary["test"]["loss"])
    splits = [json.loads(line)["split"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert splits == ["train", "validation"] * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_stopped_and_started_again_it_gives_the_same_bits(name, files, data_dir, tmp_path):
    config = load_config(name)
    if config.data.name in FEATURES:
        prepare(config.data.name, data_dir)
    smaller = load_config(name, ["epochs=None", "steps=6", "batch_size=8", "eval_every_steps=2"])
    where = dict(data_dir=str(files) if "path" in config.data else data_dir, saving=Saving(every_steps=1), strategy="cpu")
    run(smaller, tmp_path / "whole", **where)
    for step in (1, 3):
        with pytest.raises(Interrupted):
            run(
                smaller, tmp_path / "stopped", **where,
                hooks=[lambda event, learner, s=step: learner.interrupt(15) if event == "loop" and learner.progress.step >= s else None],
            )  # fmt: skip
    run(smaller, tmp_path / "stopped", **where)
    assert differences(tmp_path / "whole", tmp_path / "stopped") == []


def test_the_documented_configs_are_there():
    wanted = "digits_mlp digits_cnn digits_lstm digits_transformer breast_cancer_mlp pima_mlp mnist_mlp fashion_mnist_mlp "
    wanted += (
        "mnist_mlp_100 mnist_cnn fashion_mnist_cnn mnist_cnn_adam fashion_mnist_cnn_adam cifar10_cnn imdb_lstm imdb_transformer"
    )
    assert set(wanted.split()) <= set(NAMES)
    for name in ("mnist_mlp", "fashion_mnist_mlp"):
        assert load_config(name).optimizer.to_dict() == {"name": "sgd", "learning_rate": 0.01}


@pytest.mark.slow
def test_digits_reach_97_percent(data_dir, tmp_path):
    assert run(load_config("digits_mlp"), tmp_path / "run", data_dir=data_dir)["test"]["accuracy"] >= 0.97


@pytest.mark.slow
def test_pima_on_the_real_table(real_data, tmp_path):
    summary = run(load_config("pima_mlp"), tmp_path / "run", data_dir=str(real_data / "pima"))
    assert summary["test"]["accuracy"] > summary["baseline"]["accuracy"] + 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "epochs", "accuracy"), [("fashion_mnist_mlp", 1, 0.75), ("cifar10_cnn", 3, 0.35), ("imdb_lstm", 2, 0.65)]
)
def test_real_data(name, epochs, accuracy, real_data, tmp_path_factory, tmp_path):
    """Prepared by tensorflow-datasets' own builders, from the real files."""
    import subprocess
    import sys

    folder = tmp_path_factory.getbasetemp() / "real"
    data = load_config(name).data.name
    subprocess.run([sys.executable, real_data / "prepare_tfds.py", folder, data], check=True, capture_output=True)
    summary = run(load_config(name, [f"epochs={epochs}"]), tmp_path / "run", data_dir=str(folder))
    assert summary["test"]["accuracy"] > accuracy
