"""What users of `keras.Model.fit` know, for Trainer: History, callbacks, what `compile` was given."""

import logging
import math
import tempfile
from collections.abc import Sequence

import keras
import numpy as np

from trainers.speed.keras_inside import all_layers, given_to_compile
from trainers.tasks.keras_loss import looks_like_softmax

log = logging.getLogger("trainers")

_OWN_STEPS = ("train_step", "test_step", "compute_loss", "_compute_loss", "compute_metrics")
_NOT_CALLED = (
    *(f"on_{kind}batch_{when}" for kind in ("", "train_", "test_", "predict_") for when in ("begin", "end")),
    *(f"on_{kind}_{when}" for kind in ("test", "predict") for when in ("begin", "end")),
)
_INSTEAD = {
    "BackupAndRestore": "workdir=...",
    "LearningRateScheduler": 'optimizer=dict(..., schedule=dict(name="cosine"))',
    "ModelCheckpoint": 'workdir=..., or save_freq="epoch"',
    "ProgbarLogger": "verbose=True",
    "ReduceLROnPlateau": 'optimizer=dict(..., schedule=dict(name="cosine"))',
    "SwapEMAWeights": "an optimizer with use_ema=True",
    "TensorBoard": "trainers.report.tensorboard through hooks=",
    "TerminateOnNaN": "nothing: steps that are not finite change nothing, and three in a row end training",
}


class History(dict):
    """{metric: one number an epoch}; those of the validation data start with "val_". `.history` is the same, as in Keras."""

    @property
    def history(self) -> dict[str, list[float]]:
        return self

    @property
    def epoch(self) -> list[int]:
        return list(range(max(map(len, self.values()), default=0)))


def check_callbacks(callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """ValueError for a callback that needs more than epochs and logs: many steps are made without returning to Python."""
    for callback in callbacks:
        name = type(callback).__name__
        if not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(f"callbacks must be keras.callbacks.Callback. Received: {name}; functions are hooks=")
        base = keras.callbacks.Callback
        needed = [m for m in _NOT_CALLED if m in vars(callback) or getattr(type(callback), m) is not getattr(base, m)]
        by_epoch = name == "ModelCheckpoint" and callback.save_freq == "epoch"
        if (needed or name in _INSTEAD) and not by_epoch:
            why = f"{name} needs {needed[0]}" if needed else f"{name} sets what compiled steps do not read"
            instead = _INSTEAD.get(name, "on_epoch_end, or hooks=")
            raise ValueError(f"callbacks get epochs and their logs alone. Received: {why}; use {instead}")


def run_callbacks(callbacks: Sequence[keras.callbacks.Callback]):
    """Hook: calls their on_train_begin, on_epoch_begin, on_epoch_end and on_train_end."""
    logs: dict[str, float] = {}
    begun = -1

    def each(method: str, *arguments) -> None:
        for callback in callbacks:
            getattr(callback, method)(*arguments)

    def begin(epoch: int) -> None:
        nonlocal begun
        begun = epoch
        each("on_epoch_begin", epoch, {})

    def hook(event: str, learner) -> None:
        table, step = learner.timetable, learner.progress.step
        if event == "start":
            learner.model.stop_training = False
            each("set_model", learner.model)
            epochs = math.ceil(table.total_steps / table.steps_per_epoch)
            each("set_params", {"epochs": epochs, "steps": table.steps_per_epoch, "verbose": 0})
            each("on_train_begin", {})
            begin(step // table.steps_per_epoch)
        elif event == "metrics":
            prefix = "" if learner.split == "train" else "val_"
            logs.update({f"{prefix}{name}": value for name, value in learner.metrics.items() if name != "skipped"})
            if learner.split != "train" or "validation" not in learner.data.spec.examples:
                each("on_epoch_end", begun, dict(logs))
                if learner.model.stop_training:
                    learner.stop()
        elif event == "loop" and step // table.steps_per_epoch > begun and step < table.total_steps:
            if not learner.model.stop_training:
                begin(step // table.steps_per_epoch)
        elif event == "end":
            each("on_train_end", dict(logs))

    return hook


def check_stateless(model: keras.Model) -> None:
    """ValueError for recurrent layers that go on from batch to batch: examples are shuffled and batches are split here."""
    for layer in all_layers(model):
        if getattr(layer, "stateful", False):
            raise ValueError(f"layer {layer.name!r} has stateful=True, whose state is not kept here; use stateful=False")


def copied(model: keras.Model) -> keras.Model:
    """A copy with the same weights, and what layers adapted to: vocabularies."""
    copy = keras.models.clone_model(model)
    copy.set_weights([keras.ops.convert_to_numpy(w) for w in model.weights])
    for layer, twin in zip(all_layers(model), all_layers(copy), strict=True):
        if hasattr(layer, "save_assets") and not isinstance(layer, keras.Model):
            with tempfile.TemporaryDirectory() as folder:
                layer.save_assets(folder)
                twin.load_assets(folder)
    return copy


def check_own_steps(model: keras.Model, *, replaced: bool) -> None:
    """A model that has its own `train_step` or the like: ValueError, or a warning where a task or a loss replaces it."""
    own = [name for name in _OWN_STEPS if _is_own(type(model), name)]
    if not own:
        return
    what = f"{type(model).__name__}.{own[0]} is not called: Trainer computes losses itself, exactly for any number of replicas"
    if replaced:
        log.warning("%s, from task= or loss=", what)
    else:
        raise ValueError(f"{what}. State its loss: loss=..., or task=... of your own (trainers.tasks.base.Task)")


def _is_own(cls: type, method: str) -> bool:
    owner = next((c for c in cls.__mro__ if method in vars(c)), None)
    return owner is not None and owner.__module__.split(".")[0] != "keras"


def compiled_with(model: keras.Model) -> dict:
    """loss, metrics, loss_weights and optimizer that `model.compile` was given; nothing if there was no loss among them."""
    if not model.compiled or model.loss is None:
        return {}
    given = given_to_compile(model)
    metrics, weighted = (given.get(name) or [] for name in ("metrics", "weighted_metrics"))
    if metrics and weighted and not isinstance(metrics, list) & isinstance(weighted, list):
        raise ValueError("metrics and weighted_metrics of compile must be lists where both are given. Received: a dict")
    together = metrics + weighted if metrics and weighted else metrics or weighted
    return dict(loss=model.loss, metrics=together, loss_weights=given.get("loss_weights"), optimizer=model.optimizer)


def check_logits(outputs) -> None:
    """ValueError if the outputs of some examples [B, C], of a model that should give logits, are probabilities."""
    values = np.asarray(keras.ops.cast(outputs, "float32"))
    if looks_like_softmax(values):
        raise ValueError(
            "the model gives probabilities (rows that sum to 1), where the task expects logits. Build it without softmax, or "
            "give the task from_logits=False"
        )
    if values.ndim == 2 and values.shape[1] == 1 and len(values) > 3 and values.min() >= 0 and values.max() <= 1:
        log.warning(
            "the model's outputs are all from 0 to 1, where the task expects logits: if they are of a sigmoid, build the model "
            "without it, or give the task from_logits=False"
        )
