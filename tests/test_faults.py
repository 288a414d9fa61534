"""Nothing is lost: signals, damage, other replicas, two processes, full disks. Killing at any moment is benchmarks/faults.py."""

import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import array_data, make_learner, train, weights
from keras import layers
from safetensors.numpy import load_file

import trainers
from trainers import Config
from trainers.engine.signals import Interrupted
from trainers.runs import checkpoint
from trainers.runs.checkpoint import Saving
from trainers.runs.workdir import locked

run = functools.partial(trainers.run, plan="graph")  # which is traced soonest; test_plans.py has the others

ROOT = Path(__file__).parent.parent


def config(**changes) -> Config:
    """63 steps, an evaluation every 21; dropout and augmentation."""
    base = dict(
        data=dict(name="digits", augment=dict(crop=1)), model=dict(name="mlp", widths=(16,), dropout=0.1), batch_size=64, epochs=3,
        optimizer=dict(name="adam", learning_rate=5e-3, use_ema=True, ema_momentum=0.8, schedule=dict(name="cosine")),
    )  # fmt: skip
    return Config(**{**base, **changes})


def timeless(workdir) -> list[dict]:
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "examples_per_second"} for record in lines]


def state(workdir) -> dict[str, bytes]:
    arrays = load_file(checkpoint.newest_good(workdir / "checkpoints") / "state.safetensors")
    return {name: value.tobytes() for name, value in arrays.items()}


def same(a, b) -> None:
    assert state(a) == state(b)
    assert timeless(a) == timeless(b)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_dir):
    """A run that nothing happened to."""
    workdir = tmp_path_factory.mktemp("faults") / "whole"
    run(config(), workdir, strategy="cpu", data_dir=data_dir)
    return workdir


@pytest.fixture(scope="module")
def learner():
    """After 5 steps, with an evaluation."""
    rng = np.random.default_rng(0)
    data = array_data(rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40), num_classes=3)
    strategy = __import__("tensorflow").distribute.OneDeviceStrategy("CPU:0")
    made = make_learner(lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3)]), data, strategy)
    train(made, data, 5, 8)
    return made


@pytest.mark.parametrize("when", ["between steps", "in an evaluation"])
def test_a_signal_saves_everything(when, whole, data_dir, tmp_path, monkeypatch):
    """Handled after the step; an evaluation is left at once, leaves no trace, and is made again."""
    workdir, sent = tmp_path / "run", []

    def hook(event, learner):
        if when == "between steps" and event == "loop" and 30 <= learner.progress.step < 42 and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        if when == "in an evaluation" and event == "loop" and learner.progress.step == 21:
            evaluate = learner._eval_loop

            def interrupted(*arguments):
                sent.append(os.kill(os.getpid(), signal.SIGINT))
                return evaluate(*arguments)

            monkeypatch.setattr(learner, "_eval_loop", interrupted)

    with pytest.raises(Interrupted) as stopped:
        run(config(), workdir, strategy="cpu", data_dir=data_dir, saving=Saving(every_steps=10), hooks=[hook])
    assert stopped.value.exit_code == (143 if when == "between steps" else 130)
    left = checkpoint.newest_good(workdir / "checkpoints")
    assert int(left.name) == 42 if when == "in an evaluation" else 30 <= int(left.name) < 42
    assert max(line["step"] for line in timeless(workdir)) == 21
    run(config(), workdir, strategy="cpu", data_dir=data_dir)
    same(workdir, whole)


def test_two_runs_with_one_seed_are_equal_and_another_seed_is_not(whole, data_dir, tmp_path):
    for name, seed in (("again", 0), ("other", 1)):
        run(config(seed=seed), tmp_path / name, strategy="cpu", data_dir=data_dir)
    same(tmp_path / "again", whole)
    assert state(tmp_path / "other") != state(whole)


def test_a_second_signal_ends_at_once():
    program = (
        "import time; from trainers.engine.signals import on_signal\n"
        "with on_signal(lambda number: print('first', flush=True)):\n"
        "    print('ready', flush=True)\n"
        "    while True: time.sleep(0.05)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "first\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == -signal.SIGTERM


def test_early_stopping_survives_a_kill_before_the_summary(data_dir, tmp_path):
    """The counter is in the state: started again, the run does not train on."""
    early = config(patience=1, optimizer=dict(name="sgd", learning_rate=50.0), epochs=20)
    run(early, tmp_path / "run", strategy="cpu", data_dir=data_dir)
    steps = json.loads((tmp_path / "run" / "summary.json").read_text())["steps"]
    assert steps < 420
    before = state(tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()
    assert run(early, tmp_path / "run", strategy="cpu", data_dir=data_dir)["steps"] == steps
    assert state(tmp_path / "run") == before


# Damage -----------------------------------------------------------------------------------------------------------------------


def harm(path: Path, how: str) -> None:
    """One way of many in which a file goes wrong."""
    content = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "changed":
        content[len(content) // 2] ^= 4
        path.write_bytes(content)
    elif how == "missing":
        path.unlink()
    else:
        for each in path.parent.iterdir():
            each.unlink()


@pytest.mark.parametrize("how", ["truncated", "changed", "missing", "empty folder"])
@pytest.mark.parametrize("name", ["state.safetensors", "progress.json", "manifest.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(how, name, learner, tmp_path, caplog):
    caplog.set_level(logging.WARNING, "trainers")
    first = checkpoint.save(learner, tmp_path)
    learner.progress.step += 1
    second = checkpoint.save(learner, tmp_path)
    learner.progress.step -= 1
    assert checkpoint.newest_good(tmp_path) == second
    harm(second / name, how)
    assert checkpoint.newest_good(tmp_path) == first
    assert f"{second} is damaged: it" in caplog.text


def test_each_byte_of_a_checkpoint_counts(learner, tmp_path):
    """200 random bits changed, one at a time: found, unless in the part of the manifest that nothing is restored from."""
    saved, rng = checkpoint.save(learner, tmp_path), np.random.default_rng(0)
    for _ in range(200):
        path = saved / str(rng.choice(["state.safetensors", "progress.json", "manifest.json"]))
        content = path.read_bytes()
        place = int(rng.integers(len(content)))
        path.write_bytes(content[:place] + bytes([content[place] ^ (1 << int(rng.integers(8)))]) + content[place + 1 :])
        if checkpoint.damage(saved) is None:
            assert path.name == "manifest.json"
        path.write_bytes(content)
    assert checkpoint.damage(saved) is None


def test_which_checkpoints_are_kept(learner, tmp_path):
    """The newest two and the best; later ones than the present step are of a time that did not happen."""
    progress = learner.progress
    before = progress.step, progress.best_step
    try:
        for step in (10, 20, 30, 40):
            progress.step, progress.best_step = step, 20
            checkpoint.save(learner, tmp_path)
        assert sorted(int(path.name) for path in tmp_path.iterdir()) == [20, 30, 40]
        progress.step = 25
        checkpoint.save(learner, tmp_path)
        assert sorted(int(path.name) for path in tmp_path.iterdir()) == [20, 25]
    finally:
        progress.step, progress.best_step = before


def test_a_run_whose_data_has_changed_is_told(tmp_path):
    table = tmp_path / "t.csv"
    rows = [f"{i},{'ab'[i % 2]}" for i in range(60)]
    table.write_text("\n".join(["x,y", *rows]))
    given = Config(
        data=dict(name="csv", path=str(table), target="y"), model=dict(name="mlp", widths=(4,)), batch_size=10, epochs=5,
        optimizer=dict(name="sgd"),
    )  # fmt: skip
    with pytest.raises(Interrupted):
        run(given, tmp_path / "run", hooks=[lambda e, h: h.interrupt(15) if e == "evaluated" else 0])
    table.write_text("\n".join(["x,y", *rows, "61,b", "62,a"]))
    with pytest.raises(ValueError, match="the data has changed since the run began: examples was"):
        run(given, tmp_path / "run")
    table.unlink()
    with pytest.raises(FileNotFoundError, match="no such file or folder: .*t.csv"):
        run(given, tmp_path / "run")
    table.write_text("\n".join(["x,y", *rows]))
    assert run(given, tmp_path / "run")["steps"] == 25


def test_fitted_state_without_a_run_is_not_used(whole, data_dir, tmp_path):
    """A process that died before config.json was written leaves data.json alone."""
    (tmp_path / "run" / "data").mkdir(parents=True)
    (tmp_path / "run" / "data" / "data.json").write_text("{}")
    run(config(), tmp_path / "run", strategy="cpu", data_dir=data_dir)
    same(tmp_path / "run", whole)


def test_skipped_steps_are_told_once_after_a_kill(tmp_path):
    """Step 25 was bad, its report came at 42; the run goes on from 30, and will report it again."""
    from trainers.report import metrics_file

    lines = [dict(step=21, split="train"), dict(step=25, split="skipped"), dict(step=42, split="train")]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    class Learner:
        class progress:
            step, sums = 30, {"loss": 1.0}

    metrics_file(path)("start", Learner)
    assert [json.loads(line) for line in path.read_text().splitlines()] == lines[:1]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    Learner.progress.step, Learner.progress.sums = 42, {}
    metrics_file(path)("start", Learner)
    assert [json.loads(line) for line in path.read_text().splitlines()] == lines


def test_an_unwritable_folder(data_dir, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory: .*file/run"):
        run(config(), tmp_path / "file" / "run", data_dir=data_dir)


def test_without_any_good_checkpoint_a_run_begins_anew(whole, data_dir, tmp_path, caplog):
    workdir = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(
            config(),
            workdir,
            strategy="cpu",
            data_dir=data_dir,
            hooks=[lambda e, h: h.interrupt(15) if e == "evaluated" else 0],
        )
    for path in (workdir / "checkpoints").glob("*/manifest.json"):
        path.unlink()
    starts = []
    run(
        config(),
        workdir,
        strategy="cpu",
        data_dir=data_dir,
        hooks=[lambda event, learner: starts.append(learner.progress.step)],
    )
    assert starts[0] == 0
    assert "is damaged: it has no manifest.json" in caplog.text
    same(workdir, whole)


def test_a_damaged_config_is_told(whole, tmp_path, data_dir):
    (tmp_path / "config.json").write_bytes((whole / "config.json").read_bytes()[:100])
    with pytest.raises(ValueError, match=r"config.json is damaged, it is no JSON"):
        run(config(), tmp_path, data_dir=data_dir)


# Elsewhere --------------------------------------------------------------------------------------------------------------------


def program_of_a_run(workdir, strategy: str, until: int, data_dir: str) -> list[str]:
    """A process that trains until a step; two strategies of several CPU devices collide in one process."""
    return [sys.executable, "-c", f"""
import sys; sys.path.insert(0, {str(ROOT / "tests")!r})
from test_faults import elastic, run
from trainers.engine.signals import Interrupted
try:
    run(elastic(), {str(workdir)!r}, strategy={strategy!r}, data_dir={data_dir!r},
        hooks=[lambda event, learner: learner.interrupt(15) if event == "loop" and learner.progress.step >= {until} else None])
except Interrupted:
    pass
"""]  # fmt: skip


def elastic() -> Config:
    return config(model=dict(name="mlp", widths=(16,)), epochs=None, steps=200, log_every_steps=10)


@pytest.mark.slow
def test_on_other_replicas_training_goes_on(data_dir, tmp_path):
    """1 replica, then 2, 4 and 1 again: the same losses to 1e-5 as on one all along."""
    for workdir, strategy, until in (("one", "cpu", 999), ("many", "cpu", 40), ("many", "cpu:2", 90), ("many", "cpu:4", 150),
                                     ("many", "cpu", 999)):  # fmt: skip
        subprocess.run(program_of_a_run(tmp_path / workdir, strategy, until, data_dir), check=True, cwd=ROOT)
    one, many = (timeless(tmp_path / name) for name in ("one", "many"))
    assert [line["step"] for line in one] == [line["step"] for line in many]
    assert len({line["step"] for line in one}) > 20
    np.testing.assert_allclose([a["loss"] for a in one], [a["loss"] for a in many], rtol=0, atol=1e-5)


def test_two_processes_in_one_folder(tmp_path, data_dir):
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys, time, pathlib; from trainers.runs.workdir import locked\n"
         "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)", str(tmp_path / "run")],
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another process trains in .*run; give another --workdir"):
            run(config(), tmp_path / "run", data_dir=data_dir)
        holder.kill()
        holder.wait()
        with locked(tmp_path / "run"):  # a dead process holds nothing
            pass
    finally:
        holder.kill()


def test_two_processes_that_begin_together(data_dir, tmp_path, monkeypatch):
    """While the second one prepares, the first makes the folder: in use, or left again."""
    import trainers.runs.run as module

    prepare = module.prepare
    for is_held in (True, False):
        workdir = tmp_path / f"run{is_held}"
        with contextlib.ExitStack() as stack:

            def prepared(*arguments, workdir=workdir, is_held=is_held, stack=stack):
                ready = prepare(*arguments)
                stack.enter_context(locked(workdir)) if is_held else workdir.mkdir()
                (workdir / "config.json").write_text("{}")
                return ready

            monkeypatch.setattr(module, "prepare", prepared)
            message = "another process trains in" if is_held else "another process began a run in"
            with pytest.raises(ValueError, match=message):
                run(config(), workdir, strategy="cpu", data_dir=data_dir)
            assert (workdir / "config.json").read_text() == "{}"


def test_a_full_disk(whole, data_dir, tmp_path):
    """Files may not grow over 10 kB: one line, exit code 1, and what was saved before is whole."""
    workdir = tmp_path / "run"
    with pytest.raises(Interrupted):
        run(
            config(),
            workdir,
            strategy="cpu",
            data_dir=data_dir,
            hooks=[lambda e, h: h.interrupt(15) if e == "evaluated" else 0],
        )
    saved = state(workdir)
    program = f"""
import resource, sys
sys.path.insert(0, {str(ROOT / "tests")!r})
from test_faults import config, run
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
from trainers import cli
def main(arguments): run(config(), {str(workdir)!r}, strategy="cpu", data_dir={data_dir!r})
cli.entry_point(main)()
"""
    (tmp_path / "program.py").write_text(program)
    result = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 1
    assert "error: cannot write a checkpoint to" in result.stderr
    assert "File too large" in result.stderr
    assert "Traceback" not in result.stderr
    assert state(workdir) == saved
    run(config(), workdir, strategy="cpu", data_dir=data_dir)
    same(workdir, whole)


# Weights from elsewhere -------------------------------------------------------------------------------------------------------


def test_init_from_a_run(whole, data_dir, tmp_path, caplog):
    caplog.set_level(logging.INFO, "trainers")
    short = dict(epochs=None, steps=1, eval_every_steps=1)
    begun = run(config(**short), tmp_path / "same", init_from=str(whole), strategy="cpu", data_dir=data_dir)
    assert "init_from: 4 of 4 variables" in caplog.text
    fresh = run(config(**short), tmp_path / "fresh", strategy="cpu", data_dir=data_dir)
    assert begun["best"]["loss"] < fresh["best"]["loss"] - 0.15
    caplog.clear()
    wider = config(model=dict(name="mlp", widths=(16, 8)), **short)
    run(wider, tmp_path / "wider", init_from=str(whole / "model.keras"), strategy="cpu", data_dir=data_dir)
    for line in (
        "init_from: 3 of 6 variables",
        "init_from: hidden_2/kernel is not there and keeps its first values",
        "init_from: logits/kernel has the shape (16, 10) there, (8, 10) here",
    ):
        assert line in caplog.text
    with pytest.raises(ValueError, match=r"Differing: --init_from \('.*whole' there, None now\)"):
        run(config(**short), tmp_path / "same", strategy="cpu", data_dir=data_dir)
    for source, message in {
        str(tmp_path / "absent"): "no such run or file",
        str(tmp_path): "holds no finished run",
        str(whole / "config.json"): "takes a run's folder, a .keras or a .safetensors file",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            run(config(**short), tmp_path / "none", init_from=source, data_dir=data_dir)
    assert not (tmp_path / "none").exists()


# Numbers that are not finite --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_nan", ["stop", "continue", "rollback"])
def test_what_happens_after_bad_steps_in_a_row(on_nan, data_dir, tmp_path):
    """Weights that are blown up at step 30: no step is finite until they are rolled back."""

    def blow_up(event, learner):
        if event == "loop" and learner.progress.step == 30:
            blown.append(learner.progress.step)
            for variable in learner.state.variables["trainable"]:
                variable.assign(np.full(variable.shape, 1e38, np.float32))

    blown, saving = [], Saving(every_steps=10)
    bad = config(model=dict(name="mlp", widths=(16,)), optimizer=dict(name="adam", learning_rate=5e-3), on_nan=on_nan)
    if on_nan == "stop":
        with pytest.raises(FloatingPointError, match="3 steps in a row, up to step .* is not finite and changed nothing"):
            run(bad, tmp_path / "run", strategy="cpu", data_dir=data_dir, saving=saving, hooks=[blow_up])
        return
    run(bad, tmp_path / "run", strategy="cpu", data_dir=data_dir, saving=saving, hooks=[blow_up])
    lines = timeless(tmp_path / "run")
    skipped = [line["step"] for line in lines if line["split"] == "skipped"]
    assert skipped[0] == blown[0] + 1
    assert all(len(line["examples"]) in (64, 13) for line in lines if line["split"] == "skipped")
    last = [line for line in lines if line["split"] == "validation"][-1]
    if on_nan == "continue":
        assert skipped == list(range(blown[0] + 1, 64))
        assert last["loss"] is None or last["loss"] > 1e30
    else:
        assert skipped == list(range(blown[0] + 1, blown[0] + 4))
        assert last["loss"] < next(line["loss"] for line in lines if line["split"] == "validation")


def test_the_examples_of_a_step_are_those_of_its_batch(data_dir):
    """By number, against the batch that is made."""
    from trainers.data.pipeline import load_data

    for in_memory in (True, False):
        data = load_data({"name": "digits", "in_memory": in_memory}, data_dir=data_dir)
        kept = load_data({"name": "digits"}, data_dir=data_dir).arrays("train")
        for step in (0, 20, 33):
            batch = next(iter(data.batches("train", 64, training=True, seed=3, start_step=step)))
            places = data.examples_of_batch("train", 64, seed=3, step=step)
            assert len(places) == int(np.sum(batch["w"]))
            np.testing.assert_array_equal(kept.y[places], batch["y"][: len(places)])
            np.testing.assert_array_equal(kept.x[places], batch["x"][: len(places)])


# Health -----------------------------------------------------------------------------------------------------------------------


def test_health(one_replica, caplog):
    """Gradient norms and update ratios by NumPy; units that are dead by their bias; advice once."""
    from trainers.engine.progress import Timetable
    from trainers.runs.health import health

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 4)).astype(np.float32), rng.integers(0, 3, 16)
    data = array_data(x, y, num_classes=3)

    def build():
        inputs = keras.Input((4,))
        hidden = layers.Dense(8, "relu", name="hidden", bias_initializer=keras.initializers.Constant(-100.0))(inputs)
        return keras.Model(inputs, layers.Dense(3, name="logits")(layers.Concatenate()([hidden, inputs])))

    made, found = make_learner(build, data, one_replica, optimizer=dict(name="sgd", learning_rate=0.5)), []

    def keep(event, learner):
        if event == "metrics":
            found.append((dict(learner.metrics), weights(learner.model)))

    made.fit(
        data, batch_size=16, hooks=[health(), keep],
        timetable=Timetable(total_steps=3, steps_per_epoch=1, log_every_steps=1),
    )  # fmt: skip
    for metrics, (_, _, kernel, bias) in found:
        inputs = np.concatenate([np.zeros((16, 8)), x], axis=1)
        scores = inputs @ kernel + bias
        p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        error = (p - np.eye(3)[y]) / 16
        norm = np.sqrt(np.sum((inputs.T @ error) ** 2) + np.sum(error.sum(0) ** 2))
        assert metrics["gradient_norm/logits"] == pytest.approx(norm, rel=1e-4)
        assert metrics["gradient_norm"] == pytest.approx(norm, rel=1e-4)
        ratio = 0.5 * norm / np.sqrt(np.sum(kernel**2) + np.sum(bias**2))
        assert metrics["update_ratio/logits"] == pytest.approx(ratio, rel=1e-4)
        assert metrics["dead_units/hidden"] == 1.0
    assert caplog.text.count("dead ReLUs: 100% of hidden's units are 0 for a whole batch") == 1
    assert caplog.text.count("vanishing gradients: hidden has 0") == 1


def test_health_in_a_run(data_dir, tmp_path):
    """In metrics.jsonl, without changing what is trained; evaluated twice an epoch, saved all the time."""
    half = dict(eval_every_epochs=0.5, epochs=1, most_bad_steps=5)
    often = Saving(every_minutes=1e-6)
    for name, healthy in (("with", True), ("without", False)):
        run(config(**half, health=healthy), tmp_path / name, strategy="cpu", data_dir=data_dir, saving=often)
    trained = [line for line in timeless(tmp_path / "with") if line["split"] == "train"]
    assert [line["step"] for line in trained] == [10, 20, 21]
    for line in trained:
        assert {"gradient_norm", "gradient_norm/hidden_1", "update_ratio/logits", "dead_units/relu_1"} <= line.keys()
        assert 0 < line["gradient_norm"] < 100
    added = ("gradient_norm", "update_ratio", "dead_units")
    kept = [{k: v for k, v in line.items() if not k.startswith(added)} for line in timeless(tmp_path / "with")]
    assert kept == timeless(tmp_path / "without")


# Long and slow ----------------------------------------------------------------------------------------------------------------


def benchmark(*arguments: str) -> str:
    result = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--signal=TERM"], ["--damages=10"]], ids=["KILL", "TERM", "damaged"])
def test_killed_at_any_moment(more):
    output = benchmark("benchmarks.faults", "--kills=5", *more)
    assert "equal to the bit" in output
    restarts = int(output.partition("restarts_after_step_0")[2].split()[0])
    assert restarts > 0


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed():
    output = benchmark("benchmarks.faults", "--kills=1", "--workers=2")
    assert "equal to the bit" in output


@pytest.mark.slow
def test_two_workers_equal_two_replicas(data_dir, tmp_path):
    flags = ["--config=digits_mlp", "--config.epochs=1", f"--data_dir={data_dir}"]
    benchmark("trainers.launch", "--workers=2", "--", *flags, f"--workdir={tmp_path / 'workers'}")
    benchmark("trainers.train", *flags, "--strategy=cpu:2", f"--workdir={tmp_path / 'replicas'}")
    same(tmp_path / "workers", tmp_path / "replicas")


@pytest.mark.slow
def test_the_selftest(tmp_path):
    output = benchmark("trainers.selftest", "--strategy=cpu:2", f"--output={tmp_path / 'found.json'}")
    found = json.loads((tmp_path / "found.json").read_text())
    assert all(check["ok"] for check in found["checks"])
    assert f"{len(found['checks'])} of {len(found['checks'])} checks passed" in output


@pytest.mark.slow
def test_memory_stays_flat():
    began = time.monotonic()
    assert "traces of each function: [1, 1, 1, 1]" in benchmark("benchmarks.soak", "--steps=4000")
    assert time.monotonic() - began < 600, "not a measurement: a limit for a run that hangs"
