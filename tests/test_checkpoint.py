"""What stands in a checkpoint: names, the best weights once, those of older versions; and a kill at any file operation."""

import json
import logging
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import InOrder, make_learner
from keras import layers
from safetensors.numpy import load_file

from trainers.data.encoders import ArrayEncoder
from trainers.data.spec import Spec, Split
from trainers.engine.learner import Learner
from trainers.engine.progress import Timetable
from trainers.runs.checkpoint import Saving, checkpoints, damage, newest_good, restore, save

OPTIMIZER = dict(name="adam", learning_rate=0.3, use_ema=True, ema_momentum=0.5)


def small_data() -> InOrder:
    rng = np.random.default_rng(0)
    split = Split(rng.normal(size=(40, 4)).astype(np.float32), rng.integers(0, 3, 40).astype(np.int32))
    spec = Spec(
        input_shape=(4,),
        examples={"train": 40, "validation": 40},
        num_classes=3,
        class_counts=tuple(np.bincount(split.y).tolist()),
    )
    return InOrder(spec, {"train": split, "validation": split}, ArrayEncoder())


def net() -> keras.Model:
    """Of layers without names of their own."""
    return keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(3)])


def new_learner(strategy, build=net, **options) -> Learner:
    return make_learner(build, small_data(), strategy, optimizer=OPTIMIZER, **options)


def train_until(learner: Learner, step: int, *hooks) -> dict[int, float]:
    """An evaluation every 3 steps; the validation losses."""
    losses = {}

    def note(event: str, learner: Learner) -> None:
        if event == "metrics" and learner.split == "validation":
            losses[learner.progress.step] = learner.metrics["loss"]

    table = Timetable(total_steps=step, steps_per_epoch=5, eval_every_steps=3)
    learner.fit(small_data(), batch_size=8, timetable=table, hooks=[note, *hooks])
    return losses


def values(learner: Learner) -> dict[str, list[bytes]]:
    """Everything that resuming must give back, to the bit."""
    variables = {kind: [keras.ops.convert_to_numpy(v).tobytes() for v in of] for kind, of in learner.state.variables.items()}
    sums = {name: np.asarray(value).tobytes() for name, value in sorted(learner.progress.sums.items())}
    best_weights = [value.tobytes() for value in learner.progress.best_weights]
    progress = {**vars(learner.progress), "sums": sums, "best_weights": best_weights}
    return {**variables, **{name: repr(value) for name, value in progress.items()}}


def restored(strategy, checkpoint: Path) -> dict[str, list[bytes]]:
    learner = new_learner(strategy)
    restore(learner, checkpoint)
    return values(learner)


def names_in(checkpoint: Path) -> list[str]:
    return sorted(load_file(checkpoint / "state.safetensors"))


def at(folder: Path, step: int) -> Path:
    return folder / f"{step:010d}"


@pytest.fixture(scope="module")
def learner(one_replica):
    """Trained for 6 steps, of which 3 and 6 were evaluated."""
    made = new_learner(one_replica)
    train_until(made, 6)
    assert made.progress.best_step == 6
    return made


@pytest.fixture
def progress(learner):
    """The learner's, for a test to change."""
    before = dict(vars(learner.progress))
    yield learner.progress
    vars(learner.progress).update(before)


# Names ------------------------------------------------------------------------------------------------------------------------


def test_variables_are_named_by_kind_and_path(learner, tmp_path):
    names = names_in(save(learner, tmp_path))
    kernels = [variable.path for variable in learner.model.trainable_variables if variable.name == "kernel"]
    assert {f"trainable/{path}" for path in kernels} <= set(names)
    assert {"optimizer/adam/iteration", f"optimizer/adam/{kernels[0].replace('/', '_')}_momentum"} <= set(names)
    assert {name.split("/")[0] for name in names} == {"trainable", "non_trainable", "optimizer", "best_weights"}


def test_a_model_whose_layers_keras_numbered_otherwise(learner, one_replica, tmp_path):
    """A second model in a process: dense_1 is dense_3 there, and one's dense_1 may be the other's second layer."""
    again = new_learner(one_replica)
    assert [v.path for v in again.model.variables] != [v.path for v in learner.model.variables]
    restore(again, save(learner, tmp_path))
    assert values(again) == values(learner)


def test_paths_that_repeat_are_told_apart(learner, one_replica, tmp_path):
    """As those of two optimizers of a kind."""
    again = new_learner(one_replica)
    for each, shift in ((learner, 0.0), (again, 100.0)):
        variables = [keras.Variable(np.float32(i) + shift, name="iteration") for i in range(3)]
        each.state.variables["loss_scale"] = variables
    saved = save(learner, tmp_path)
    assert [n for n in names_in(saved) if n.startswith("loss_scale")] == [f"loss_scale/iteration{n}" for n in ("", "#2", "#3")]
    restore(again, saved)
    assert [float(v.numpy()) for v in again.state.variables["loss_scale"]] == [0.0, 1.0, 2.0]
    learner.state.variables["loss_scale"] = []


def test_layers_of_the_same_shapes_in_another_order_get_their_own_values(one_replica, tmp_path):
    """By name, not by order."""

    def build(*names):
        inputs = keras.Input((4,))
        made = {name: layers.Dense(3, use_bias=False, name=name) for name in names}
        return keras.Model(inputs, layers.Add()([made[name](inputs) for name in names]))

    first, second = (new_learner(one_replica, lambda order=order: build(*order)) for order in (("a", "b"), ("b", "a")))
    restore(second, save(first, tmp_path))
    for name in ("a", "b"):
        np.testing.assert_array_equal(second.model.get_layer(name).kernel, first.model.get_layer(name).kernel)


def test_other_variables_are_refused(learner, one_replica, tmp_path):
    saved = save(learner, tmp_path)

    def other(name: str | None, width: int) -> keras.Model:
        parts = [layers.Dense(width), layers.BatchNormalization(), layers.Dense(3, name=name)]
        return keras.Sequential([keras.Input((4,)), *parts])

    for name, width, message in (
        ("other", 3, r"expected trainable/\w+/other/kernel"),
        (None, 5, r"of the shape \(4, 3\), expected .*\(4, 5\)"),
    ):
        with pytest.raises(ValueError, match=rf"is of another model. It has .*{message}"):
            restore(new_learner(one_replica, lambda name=name, width=width: other(name, width)), saved)


def test_a_checkpoint_of_version_0_1_0(one_replica, tmp_path):
    """Made by that version after 8 steps; its best evaluation was at step 6, and at step 9 it evaluated to 1.1014734."""
    folder = tmp_path / "0000000008"
    shutil.copytree(Path(__file__).parent / "checkpoint_0_1_0", folder)
    learner = new_learner(one_replica)
    assert newest_good(tmp_path) == folder
    restore(learner, folder)
    assert (learner.progress.step, learner.progress.best_step) == (8, 6)
    losses = train_until(learner, 9, checkpoints(tmp_path, Saving()))
    assert losses[9] == pytest.approx(1.1014734268188477, abs=1e-5)
    learner.set_weights(learner.progress.best_weights)
    assert learner.evaluate(small_data(), "validation", 8)["loss"] == pytest.approx(1.033571720123291, abs=1e-5)
    assert any(name.startswith("best_weights/") for name in names_in(at(tmp_path, 9))), "there is no best checkpoint"
    assert restored(one_replica, at(tmp_path, 9))["best_step"] == "6"


# The best weights -------------------------------------------------------------------------------------------------------------


def test_the_best_checkpoint_alone_holds_the_best_weights(one_replica, tmp_path):
    learner, seen = new_learner(one_replica), {}

    def note(event: str, learner: Learner) -> None:
        if event == "loop":
            seen[learner.progress.step] = values(learner)

    train_until(learner, 11, checkpoints(tmp_path, Saving(every_steps=1, keep=20)), note)
    best = {step: int(seen[step]["best_step"]) for step in seen}
    holders = [int(path.name) for path in tmp_path.iterdir() if any(name.startswith("best_weights") for name in names_in(path))]
    assert sorted(holders) == sorted(set(best.values()) - {0})
    assert len(set(best.values())) > 1
    for step, wanted in seen.items():
        assert restored(one_replica, at(tmp_path, step)) == wanted


def test_an_evaluation_that_is_made_when_training_goes_on(one_replica, tmp_path):
    """It was due when the run stopped: the checkpoint of the step is made again, with the best weights."""
    learner, saving = new_learner(one_replica), Saving(every_steps=1)

    def interrupt(event: str, learner: Learner) -> None:
        if event == "loop" and learner.progress.step == 3:
            learner.interrupt(15)

    table = Timetable(total_steps=9, steps_per_epoch=5, stops=(3,))
    with pytest.raises(KeyboardInterrupt):
        learner.fit(small_data(), batch_size=8, hooks=[interrupt, checkpoints(tmp_path, saving)], timetable=table)
    assert learner.progress.sums
    again = new_learner(one_replica)
    restore(again, newest_good(tmp_path))
    train_until(again, 4, checkpoints(tmp_path, saving))
    assert any(name.startswith("best_weights") for name in names_in(at(tmp_path, 3)))


def test_what_older_checkpoints_need_is_kept(learner, progress, tmp_path):
    """30 is kept for its age and needs 20, although 40 is the best by now."""
    for step, best in ((10, 10), (20, 20), (30, 20), (40, 40)):
        progress.step, progress.best_step = step, best
        save(learner, tmp_path)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [20, 30, 40]
    progress.step = 50
    save(learner, tmp_path)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [40, 50]


def test_a_damaged_best_checkpoint(learner, progress, one_replica, tmp_path, caplog):
    """An older one with its best is taken; where there is none, training goes on, and what is lost is logged."""
    caplog.set_level(logging.WARNING, "trainers")
    wanted = {}
    for step, best in ((10, 10), (20, 10), (30, 30), (40, 30)):
        progress.step, progress.best_step = step, best
        save(learner, tmp_path, keep=4)
        wanted[step] = values(learner)
    (at(tmp_path, 30) / "state.safetensors").unlink()
    assert newest_good(tmp_path) == at(tmp_path, 20)
    assert restored(one_replica, at(tmp_path, 20)) == wanted[20]
    assert f"{at(tmp_path, 30)} is damaged: its state.safetensors is not readable" in caplog.text
    assert "lost" not in caplog.text
    shutil.rmtree(at(tmp_path, 10))
    assert newest_good(tmp_path) == at(tmp_path, 40)
    found = restored(one_replica, at(tmp_path, 40))
    lost = {"best": "nan", "best_step": "0", "best_weights": "[]"}
    assert found == {**wanted[40], **lost}
    assert f"the best weights so far, of step 30, are lost with {at(tmp_path, 30)}" in caplog.text


def test_where_the_best_checkpoint_was_removed_the_next_one_holds_its_weights(learner, progress, one_replica, tmp_path):
    for step in (10, 20, 30):
        progress.step, progress.best_step = step, 10
        save(learner, tmp_path)
        shutil.rmtree(at(tmp_path, 10), ignore_errors=True)
    assert restored(one_replica, at(tmp_path, 30)) == values(learner)


# A kill at any moment ---------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


class Killer:
    """Raises Killed before the n-th operation on a file in a folder, and before each one from there on."""

    def __init__(self) -> None:
        self.folder, self.left = None, 0
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        events = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir", "os.scandir", "shutil.rmtree")
        is_in_a_tree = event in ("os.remove", "os.rmdir") and arguments[1] != -1  # by rmtree, relative to a folder
        if self.folder and event in events and (is_in_a_tree or str(arguments[0]).startswith(self.folder)):
            self.left -= 1
            if self.left < 0:
                raise Killed


@pytest.fixture(scope="module")
def killer():
    return Killer()


@pytest.mark.parametrize("best", [(10, 20, 30), (10, 20, 20), (10, 10, 10), (10, 10, 30)], ids=str)
@pytest.mark.parametrize("is_again", [False, True])
def test_a_kill_at_any_file_operation(best, is_again, learner, progress, one_replica, tmp_path, killer):
    """While the third checkpoint is made (again): after it the second or the third is there, with its best weights."""
    again = new_learner(one_replica)
    states, folder = {}, tmp_path / "0"
    for step, best_step in zip((10, 20), best[:2], strict=True):
        progress.step, progress.best_step = step, best_step
        save(learner, folder, keep=1)
        states[step] = values(learner)
    progress.step, progress.best_step = 30, best[2]
    if is_again:
        save(learner, folder, keep=1)
    states[30] = values(learner)
    for number in range(1, 200):
        copy = tmp_path / str(number)
        shutil.copytree(folder, copy)
        killer.folder, killer.left = str(copy), number
        try:
            save(learner, copy, keep=1)
        except Killed:
            was_killed = True
        else:
            was_killed = False
        finally:
            killer.folder = None
        found = newest_good(copy)
        restore(again, found)
        assert values(again) == states[int(found.stem)], number
        assert not is_again or int(found.stem) == 30
        if not was_killed:
            break
    assert 10 < number < 199
    assert damage(at(copy, 30)) is None
    assert json.loads((at(copy, 30) / "progress.json").read_text())["step"] == 30
