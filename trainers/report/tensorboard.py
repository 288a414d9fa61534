"""TensorBoard: curves of the metrics, and traces of the profiler."""

from pathlib import Path

import tensorflow as tf


def tensorboard(folder: Path):
    """Hook: each metric as a curve, a folder for each split."""
    writers: dict[str, tf.summary.SummaryWriter] = {}

    def hook(event: str, learner) -> None:
        if event == "metrics":
            if learner.split not in writers:
                writers[learner.split] = tf.summary.create_file_writer(str(folder / learner.split))
            with writers[learner.split].as_default(step=learner.progress.step):
                for name, value in {**learner.metrics, "learning_rate": learner.learning_rate}.items():
                    tf.summary.scalar(name, value)
        elif event in ("end", "interrupted"):
            for writer in writers.values():
                writer.close()

    return hook


def profile(folder: Path, first: int, last: int):
    """Hook: a trace of the steps after `first` up to `last`, for TensorBoard's profiler."""
    running = False

    def hook(event: str, learner) -> None:
        nonlocal running
        if event in ("start", "loop") and not running and first <= learner.progress.step < last:
            tf.profiler.experimental.start(str(folder))
            running = True
        elif running and (learner.progress.step >= last or event in ("end", "interrupted")):
            tf.profiler.experimental.stop()
            running = False

    return hook
