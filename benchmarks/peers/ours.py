"""The loop of `trainers`. All use of its Learner in the benchmark is here."""

import time

import numpy as np

from benchmarks.peers.trial import Trial
from benchmarks.peers.workloads import Examples, Workload, build_model, trainable_parameters
from trainers.data.encoders import ArrayEncoder, ImageEncoder
from trainers.data.pipeline import Data
from trainers.data.spec import Spec, Split
from trainers.engine.learner import Learner
from trainers.engine.optimizers import optimizer_rules
from trainers.engine.progress import Timetable
from trainers.engine.strategy import make_strategy
from trainers.speed.plan import make_plan
from trainers.tasks import make_task

_FOREVER = 10**12
_LEAST_EXAMPLES = 8192


def build(
    workload: Workload,
    examples: Examples,
    measure: str,
    *,
    plan: str = "auto",
    strategy: str = "cpu",
    policy: str | None = None,
) -> Trial:
    """`measure` "memory" too draws its batches from an order of our own: that cannot be switched off."""
    made = make_strategy(strategy)
    with made.scope():
        model = build_model(workload, policy)
        optimizers = optimizer_rules({"name": "adam", "learning_rate": 1e-3})
    data = make_data(workload, examples, measure)
    chosen = make_plan(plan, model, made, resident=data.can_be_resident("train"))
    learner = Learner(model, make_task("classify", data.spec), optimizers, made, chosen, decode=data.decode)
    per_epoch = data.steps("train", workload.batch)

    def run(seconds: float) -> dict:
        due, marks, losses = None, [], []

        def watch(event: str, learner: Learner) -> None:
            nonlocal due
            now = time.perf_counter()
            if event == "metrics":
                losses.append(learner.metrics["loss"])
            elif event == "loop" and due is None:  # a call begins with short loops: they do not count, as fit's first epoch
                due = now + seconds / 4
            elif event == "loop" and now > due:
                marks.append((learner.progress.examples, learner.progress.seconds))
                due = now + seconds
                if len(marks) == 2:
                    learner.stop()

        table = Timetable(total_steps=_FOREVER, steps_per_epoch=per_epoch)
        learner.fit(data, batch_size=workload.batch, timetable=table, hooks=[watch])
        (examples, spent), (examples_then, spent_then) = marks
        return dict(steps=(examples_then - examples) // workload.batch, seconds=spent_then - spent, loss=losses[-1])

    return Trial(run, f"plan {chosen.name}", trainable_parameters(model))


def make_data(workload: Workload, examples: Examples, measure: str) -> Data:
    """`Data` of one split, "train": ready batches' examples as numbers, or all of them as they were decoded."""
    x, y = examples.ready(workload.batch) if measure == "memory" else (examples.x, examples.y)
    if measure == "memory" and len(y) < _LEAST_EXAMPLES:  # no epoch of a few steps, which real data do not have
        x, y = (np.concatenate([a] * -(-_LEAST_EXAMPLES // len(y))) for a in (x, y))
    encoder = ImageEncoder(x.shape[1:]) if x.dtype == np.uint8 else ArrayEncoder()
    return Data(Spec(input_shape=x.shape[1:], examples={"train": len(y)}, num_classes=10), {"train": Split(x, y)}, encoder)
