"""A run: its folder, resuming, evaluating and predicting."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import assert_close
from PIL import Image
from safetensors.numpy import load_file
from sklearn.metrics import classification_report

import modelzoo.layers  # noqa: F401 (registers our layers for load_model)
import trainers
from trainers import Config, load_config
from trainers.data.pipeline import load_data
from trainers.runs.checkpoint import Saving, newest_good
from trainers.runs.finished import evaluate_run, predict_run

run = functools.partial(trainers.run, plan="graph")  # which is traced soonest; test_plans.py has the others


def config(**changes) -> Config:
    fields = dict(
        data=dict(name="digits"), model=dict(name="mlp", widths=(32,), dropout=0.2, batch_norm=True),
        optimizer=dict(name="adam", learning_rate=0.01, schedule=dict(name="cosine"), use_ema=True, ema_momentum=0.9),
        batch_size=64, epochs=3,
    )  # fmt: skip
    return Config(**{**fields, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_dir):
    """A run from beginning to end, and what it printed."""
    workdir = tmp_path_factory.mktemp("runs") / "digits"
    summary = run(config(), workdir, data_dir=data_dir, strategy="cpu")
    return workdir, summary


def records(workdir) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_the_folder_of_a_run(finished):
    workdir, summary = finished
    names = {
        "config.json",
        "metrics.jsonl",
        "summary.json",
        "checkpoints",
        "tensorboard",
        "model.keras",
        "report.txt",
        "report.json",
        "data",
        ".lock",
    }
    last = {"last.keras"} if summary["best"]["step"] < summary["steps"] else set()
    assert {path.name for path in workdir.iterdir()} == names | last
    saved = json.loads((workdir / "config.json").read_text())
    assert saved["config"] == config().to_dict() == load_config(str(workdir / "config.json")).to_dict()
    assert (saved["seed"], saved["plan"]["name"]) == (0, "graph")
    assert set(saved["versions"]) == {"python", "modelzoo", "tensorflow", "keras", "numpy"}
    assert json.loads((workdir / "summary.json").read_text()) == summary
    assert set(summary) == {
        "test", "best", "steps", "parameters", "wall_seconds", "examples_per_second", "plan", "seed", "baseline",
        "waited_for_input",
    }  # fmt: skip
    assert (summary["steps"], summary["parameters"]) == (63, 64 * 32 + 4 * 32 + 32 * 10 + 10)
    assert summary["test"]["accuracy"] > 0.85
    assert summary["baseline"] == {"how": "always 4", "accuracy": pytest.approx(0.1)}
    lines = records(workdir)
    assert [(r["step"], r["epoch"], r["split"]) for r in lines] == [
        (step, step / 21, split) for step in (21, 42, 63) for split in ("train", "validation")
    ]
    assert {"loss", "accuracy", "learning_rate", "examples_per_second"} <= set(lines[0])
    assert {"f1", "roc_auc", "top5_accuracy"} <= set(lines[1])
    best = min((r for r in lines if r["split"] == "validation"), key=lambda r: r["loss"])
    assert summary["best"] == {"step": best["step"], "loss": best["loss"]}


def test_the_saved_model_gives_the_reported_figures(finished, data_dir):
    """model.keras in plain Keras, judged by scikit-learn: the report, and summary.json's test accuracy."""
    workdir, summary = finished
    model = keras.saving.load_model(workdir / "model.keras", safe_mode=True)
    test = load_data({"name": "digits"}, data_dir=data_dir).arrays("test")
    predicted = np.argmax(model.predict(test.x / np.float32(255), verbose=0), axis=1)
    assert np.mean(predicted == test.y) == pytest.approx(summary["test"]["accuracy"], abs=1e-9)
    wanted = classification_report(test.y, predicted, output_dict=True, target_names=[str(i) for i in range(10)])
    report = json.loads((workdir / "report.json").read_text())
    assert {name: report[name] for name in wanted} == wanted
    assert "macro avg" in (workdir / "report.txt").read_text()


def test_a_finished_run_started_again_changes_nothing(finished, data_dir, caplog):
    workdir, summary = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*")}
    caplog.set_level("INFO", "trainers")
    assert run(config(), workdir, data_dir=data_dir) == summary
    assert "is finished; nothing to do" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in workdir.rglob("*")} == before


def test_another_configs_run_is_not_touched(finished, data_dir):
    changed = config(batch_size=32, model=dict(name="mlp", widths=(16,)))
    with pytest.raises(
        ValueError, match=r"holds the run of another config.*model.widths \(\[32\] there, \[16\] now\).*batch_size \(64"
    ):
        run(changed, finished[0], data_dir=data_dir)


def test_evaluating_gives_the_runs_own_figures_to_the_digit(finished):
    workdir, summary = finished
    metrics, report = evaluate_run(workdir)
    assert metrics == summary["test"]
    assert report == (workdir / "report.txt").read_text()
    validation, _ = evaluate_run(workdir, split="validation")
    assert validation["loss"] == pytest.approx(summary["best"]["loss"], abs=1e-6)
    with pytest.raises(ValueError, match="no split 'dev'. It has: train, validation, test"):
        evaluate_run(workdir, split="dev")


def test_evaluating_other_data(finished, data_dir, tmp_path):
    workdir, summary = finished
    metrics, _ = evaluate_run(workdir, data="digits", split="test", data_dir=data_dir)
    assert metrics == summary["test"]
    with pytest.raises(ValueError, match=r"the run is for x of shape \(8, 8, 1\). Received: \(30,\)"):
        evaluate_run(workdir, data="breast_cancer")


def test_predicting_images(finished, data_dir, tmp_path):
    workdir, _ = finished
    test = load_data({"name": "digits"}, data_dir=data_dir).arrays("test")
    files = []
    for i in range(20):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(test.x[i, :, :, 0]).save(files[-1])
    answers = predict_run(workdir, files)
    assert [path for path, _ in answers] == files
    right = [answer[0]["class"] == str(label) for (_, answer), label in zip(answers, test.y, strict=False)]
    assert np.mean(right) > 0.7
    assert all(0.1 < answer[0]["probability"] <= 1 for _, answer in answers)
    (tmp_path / "no.png").write_text("hello")
    for bad, error, message in (
        (tmp_path / "absent.png", FileNotFoundError, "no such file: .*absent.png"),
        (tmp_path / "no.png", ValueError, "no.png is no image that can be read"),
    ):
        with pytest.raises(error, match=message):
            predict_run(workdir, [files[0], bad])
    with pytest.raises(ValueError, match="holds no finished run: there is no config.json"):
        predict_run(tmp_path, files)


class Kill(Exception):
    """Ends a run as a lost machine would."""


def killer(step: int, at: str = "metrics"):
    """Before the checkpoint of that step is written, or after it (at="loop")."""

    def hook(event, learner):
        if event == at and learner.progress.step >= step:
            raise Kill

    return hook


def timeless(workdir) -> list[dict]:
    return [{k: v for k, v in record.items() if k != "examples_per_second"} for record in records(workdir)]


@pytest.mark.parametrize(
    ("plan", "changes"),
    [
        ("graph", dict()),
        ("xla", dict()),
        ("graph", dict(precision="float16", accumulate=4, model=dict(name="mlp", widths=(16,)))),
        (
            "graph",
            dict(
                model=dict(name="cnn", filters=(4,), pools=(2,), widths=(), batch_norm=True),
                data=dict(name="digits", augment=dict(crop=1)),
            ),
        ),
        ("graph", dict(data=dict(name="digits", in_memory=False), patience=1)),
        ("graph", dict(model=dict(name="lstm", units=(8,)), accumulate=2)),
        pytest.param(
            "xla", dict(model=dict(name="transformer", embed_dim=8, depth=1, num_heads=2, dropout=0.1)), marks=pytest.mark.slow
        ),
    ],
    ids=["mlp", "mlp, xla", "float16", "cnn, augmented", "streamed", "lstm", "transformer, xla"],
)
def test_a_run_that_was_lost_goes_on_to_the_same_bits(plan, changes, data_dir, tmp_path):
    """Killed in the second epoch, started again: the last checkpoint is that of the first. By default dropout, batch norm, an
    average of the weights and a cosine schedule.
    """
    options = dict(data_dir=data_dir, strategy="cpu", plan=plan)
    run(config(**changes), tmp_path / "whole", **options)
    with pytest.raises(Kill):
        run(config(**changes), tmp_path / "lost", **options, hooks=[killer(30)])
    assert not (tmp_path / "lost" / "summary.json").exists()
    assert newest_good(tmp_path / "lost" / "checkpoints").name == "0000000021"
    steps = []
    run(config(**changes), tmp_path / "lost", **options, hooks=[lambda event, learner: steps.append(learner.progress.step)])
    assert steps[0] == 21
    whole, lost = (load_file(newest_good(tmp_path / name / "checkpoints") / "state.safetensors") for name in ("whole", "lost"))
    assert whole.keys() == lost.keys()
    assert [name for name in whole if whole[name].tobytes() != lost[name].tobytes()] == []
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "lost")


def test_a_checkpoint_between_evaluations_is_as_good(data_dir, tmp_path):
    logged, saving = config(log_every_steps=10), Saving(every_steps=6)
    run(logged, tmp_path / "whole", data_dir=data_dir)
    with pytest.raises(Kill):
        run(logged, tmp_path / "lost", data_dir=data_dir, saving=saving, hooks=[killer(33, at="loop")])
    assert newest_good(tmp_path / "lost" / "checkpoints").name == "0000000030", "in the middle of an epoch"
    run(logged, tmp_path / "lost", data_dir=data_dir, saving=saving)
    assert timeless(tmp_path / "whole") == timeless(tmp_path / "lost")


def test_one_and_two_replicas_give_the_same_run(data_dir, tmp_path):
    same = config(model=dict(name="mlp", widths=(16,)), epochs=1)
    one = run(same, tmp_path / "one", strategy="cpu", data_dir=data_dir)
    two = run(same, tmp_path / "two", strategy="cpu:2", data_dir=data_dir)
    assert two["test"] == pytest.approx(one["test"], abs=1e-5)
    arrays = [load_file(newest_good(tmp_path / name / "checkpoints") / "state.safetensors") for name in ("one", "two")]
    assert_close([arrays[0][name] for name in arrays[0]], [arrays[1][name] for name in arrays[0]], 1e-5)


def test_a_table_from_file_to_class_names(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        f"{a:.3f},{'ab'[b]},{'no' if a + b < 0.8 else 'yes'}"
        for a, b in zip(rng.random(200), rng.integers(0, 2, 200), strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["number,letter,answer", *rows]))
    data = dict(name="csv", path=str(tmp_path / "t.csv"), target="answer")
    run(config(data=data, epochs=20, batch_size=20), tmp_path / "run")
    (tmp_path / "new.csv").write_text("letter,number\nb,0.9\na,0.1\n")
    ((_, answers),) = predict_run(tmp_path / "run", [tmp_path / "new.csv"])
    assert [answer["class"] for answer in answers] == ["yes", "no"]
    metrics, _ = evaluate_run(tmp_path / "run", data=str(tmp_path / "t.csv"))
    assert metrics["accuracy"] > 0.9


def test_texts_from_file_to_class_names(tmp_path):
    lines = [f"{word} film number {i}\t{label}" for i, (word, label) in enumerate([("fine", "good"), ("dull", "bad")] * 30)]
    (tmp_path / "t.tsv").write_text("\n".join(["text\tlabel", *lines]))
    made = config(
        data=dict(name="text", path=str(tmp_path / "t.tsv")), batch_size=16, epochs=10, precision="bfloat16",
        model=dict(name="attention_lstm", units=(8,), embed_dim=8), optimizer=dict(name="adam", learning_rate=0.05),
    )  # fmt: skip
    run(made, tmp_path / "run")
    (tmp_path / "new.txt").write_text("a dull film\na fine film\n")
    ((_, answers),) = predict_run(tmp_path / "run", [tmp_path / "new.txt"])
    assert [answer["class"] for answer in answers] == ["bad", "good"]


def test_a_number_from_file_to_value(tmp_path):
    x = np.random.default_rng(0).random(300)
    (tmp_path / "t.csv").write_text("\n".join(["x,price", *(f"{v:.4f},{1000 + 500 * v:.2f}" for v in x)]))
    made = config(
        data=dict(name="csv", path=str(tmp_path / "t.csv"), target="price", number=True), task=dict(name="regress"),
        model=dict(name="mlp", widths=(16,)), batch_size=20, epochs=20,
    )  # fmt: skip
    summary = run(made, tmp_path / "run")
    assert summary["test"]["mae"] < 30 < summary["baseline"]["mae"]
    (tmp_path / "new.csv").write_text("x\n0.5\n")
    ((_, answers),) = predict_run(tmp_path / "run", [tmp_path / "new.csv"])
    assert answers[0]["value"] == pytest.approx(1250, abs=50)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(model=dict(name="mpl")), "unknown model 'mpl'. Nearest: mlp"),
        (dict(model=dict(name="mlp", widht=3)), r"unexpected keyword argument 'widht'. It is mlp\(input_shape"),
        (dict(model=dict(name="mlp", num_classes=7)), "model.num_classes must be 10 for this data. Received: 7"),
        (
            dict(model=dict(name="mlp", input_shape=(28, 28, 1))),
            r"model.input_shape must be \(8, 8, 1\) for this data. Received: \(28, 28, 1\)",
        ),
        (dict(model=dict(name="mlp", widths=(0,))), "units"),
        (dict(model=dict(name="cnn", filters=(8, 8, 8), pools=(2, 2, 2))), "too small for convolution"),
        (dict(model=dict(name="test_run:no_such")), "model 'test_run:no_such': module 'test_run' has no attribute"),
        (
            dict(model=dict(name="test_run:wrong_input")),
            r"the model takes x of shape \(5,\). Received: data with x of shape \(8, 8, 1\)",
        ),
        (dict(model=dict(name="test_run:with_softmax")), "the model ends in softmax"),
        (dict(task=dict(name="regress")), "use task 'classify'"),
        (dict(optimizer=dict(name="adm")), "unknown optimizer 'adm'"),
        (dict(monitor="f2", epochs=1), "unknown metric to monitor: 'f2'. Accepted: loss"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(changes, message, data_dir, tmp_path):
    with pytest.raises(ValueError, match=message):
        run(config(**changes), tmp_path / "run", data_dir=data_dir)
    assert not (tmp_path / "run").exists()


def wrong_input(num_classes):
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(num_classes)])


def with_softmax(input_shape, num_classes):
    return keras.Sequential(
        [keras.Input(input_shape), keras.layers.Flatten(), keras.layers.Dense(num_classes, activation="softmax")]
    )


def test_a_checkpoint_of_another_model_is_refused(finished, tmp_path, data_dir):
    workdir = tmp_path / "run"
    other = config(model=dict(name="mlp", widths=(16,)))
    with pytest.raises(Kill):
        run(other, workdir, data_dir=data_dir, hooks=[killer(30, at="loop")])
    saved = json.loads((workdir / "config.json").read_text())
    saved["config"] = config(model=dict(name="mlp", widths=(8,))).to_dict()
    (workdir / "config.json").write_text(json.dumps(saved))
    with pytest.raises(
        ValueError,
        match=r"is of another model. It has trainable/hidden_1/kernel of the shape \(64, 16\), expected .* \(64, 8\);.*\.\.\.",
    ):
        run(config(model=dict(name="mlp", widths=(8,))), workdir, data_dir=data_dir)


def test_a_trace_of_the_profiler(tmp_path, data_dir):
    run(config(epochs=1), tmp_path / "run", data_dir=data_dir, profile_steps=(5, 10))
    assert list((tmp_path / "run" / "tensorboard").glob("plugins/profile/*/*.xplane.pb"))


def test_a_model_with_layers_of_its_own_is_evaluated_in_another_process(data_dir, tmp_path):
    """Keras finds a registered layer only once the file that defines it was imported."""
    (tmp_path / "own_model.py").write_text(
        "import keras\n"
        "@keras.saving.register_keras_serializable('own')\n"
        "class Twice(keras.layers.Layer):\n"
        "    def call(self, x):\n        return 2 * x\n"
        "def build(input_shape, num_classes):\n"
        "    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(), Twice(), keras.layers.Dense(num_classes)])\n"
    )
    flags = ["--workdir=run", f"--data_dir={data_dir}"]
    (tmp_path / "config.py").write_text(
        "from trainers import Config\n"
        "def get_config():\n"
        "    return Config(data=dict(name='digits'), model=dict(name='own_model:build'), optimizer=dict(name='sgd'), batch_size=32, steps=2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    outputs = []
    for command in (["trainers.train", "--config=config.py"], ["trainers.evaluate"]):
        result = subprocess.run(
            [sys.executable, "-m", *command, *flags], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stderr[-1000:]
        outputs.append(result.stdout)
    accuracy = json.loads((tmp_path / "run" / "summary.json").read_text())["test"]["accuracy"]
    assert f"accuracy         {accuracy:.4f}" in outputs[1]


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    def __init__(self, input_shape, num_classes, **options):
        super().__init__(**options)
        self.arguments = dict(input_shape=input_shape, num_classes=num_classes)
        self.flatten, self.logits = keras.layers.Flatten(), keras.layers.Dense(num_classes, dtype="float32")

    def call(self, inputs):
        return self.logits(self.flatten(inputs))

    def get_config(self):
        return self.arguments


def subclassed(input_shape, num_classes):
    """A builder of a subclass of keras.Model, which does not say its multiply-adds."""
    model = Subclassed(input_shape, num_classes)
    model(np.zeros((1, *input_shape), np.float32))
    return model


@pytest.mark.parametrize("name", ["mlp", "test_run:subclassed"])
def test_the_share_of_a_devices_peak_is_reported_where_the_model_says_what_it_computes(name, data_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.runs.build.peak_operations", lambda *device: 1e12)
    summary = run(config(model=dict(name=name), epochs=1), tmp_path / "run", data_dir=data_dir, strategy="cpu")
    assert ("share_of_peak" in summary) == (name == "mlp")
