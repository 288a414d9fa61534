"""What several tests need."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from trainers.data.encoders import ArrayEncoder
from trainers.data.pipeline import Data
from trainers.data.spec import Spec, Split
from trainers.engine.learner import Learner
from trainers.engine.optimizers import optimizer_rules
from trainers.engine.progress import Timetable
from trainers.speed.plan import make_plan
from trainers.tasks import make_task


class InOrder(Data):
    """Batches in the order of the arrays, so that other programs can be given the same."""

    def batches(self, split, batch_size, *, training, seed=0, start_step=0, share=(0, 1), block=None):
        dataset = super().batches(split, batch_size, training=False, share=share)
        dataset = dataset.repeat().skip(start_step) if training else dataset
        return dataset.batch(block, drop_remainder=True) if block else dataset

    def can_be_resident(self, split):
        return False


def array_data(x, y, w=None, *, num_classes: int | None = None, shuffle: bool = False) -> Data:
    """Data of one split, "train"; a number is learnt where there are no classes."""
    y = np.asarray(y)
    width = 1 if y.ndim == 1 else y.shape[1]
    spec = Spec(
        input_shape=np.shape(x)[1:], examples={"train": len(y)}, num_classes=num_classes,
        class_counts=None if num_classes is None else tuple(np.bincount(y, minlength=num_classes).tolist()),
        target_mean=(0.0,) * width, target_std=(1.0,) * width,
    )  # fmt: skip
    kind = Data if shuffle else InOrder
    return kind(spec, {"train": Split(np.asarray(x), y, w)}, ArrayEncoder())


def make_learner(
    build: Callable[[], keras.Model],
    data: Data,
    strategy: tf.distribute.Strategy,
    *,
    optimizer=None,
    task=None,
    plan="graph",
    **options,
) -> Learner:
    """A learner for a model built in the strategy's scope, from the same seed each time."""
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = build()
    made = optimizer_rules(optimizer or dict(name="sgd", learning_rate=0.1), total_steps=100)
    task = make_task(**(task or dict(name="classify")), spec=data.spec)
    chosen = make_plan(plan, model, strategy, resident=data.can_be_resident("train"))
    return Learner(model, task, made, strategy, chosen, decode=data.decode, **options)


def train(learner: Learner, data: Data, steps: int, batch_size: int) -> list[float]:
    """The loss of each step, in order; of several objectives the first one's."""
    losses = []

    def record(event: str, learner: Learner) -> None:
        if event == "metrics":
            losses.append(next(value for name, value in learner.metrics.items() if name.endswith("loss")))

    table = Timetable(
        total_steps=learner.progress.step + steps,
        steps_per_epoch=data.steps("train", batch_size),
        log_every_steps=1,
        monitor=learner.task.monitor,
    )
    learner.fit(data, batch_size=batch_size, timetable=table, hooks=[record])
    return losses


def weights(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(w) for w in model.weights if "seed" not in w.path]


def assert_close(found, wanted, tolerance: float) -> None:
    """Arrays or lists of arrays, absolute difference."""
    found, wanted = (values if isinstance(values, list) else [values] for values in (found, wanted))
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance, err_msg=f"array {i}")
