"""TensorBoard: curves of the metrics, and traces of the profiler."""

from pathlib import Path

import tensorflow as tf


def tensorboard(folder: Path):
    """Hook: each metric as a curve, a folder for each split."""
    writers: dict[str, tf.summary.SummaryWriter] = {}

    def hook(event: str, host) -> None:
        if event == "metrics":
            if host.split not in writers:
                writers[host.split] = tf.summary.create_file_writer(str(folder / host.split))
            with writers[host.split].as_default(step=host.progress.step):
                for name, value in {**host.metrics, "learning_rate": host.learning_rate}.items():
                    tf.summary.scalar(name, value)
        elif event in ("end", "interrupted"):
            for writer in writers.values():
                writer.close()

    return hook


def profile(folder: Path, first: int, last: int):
    """Hook: a trace of the steps after `first` up to `last`, for TensorBoard's profiler."""
    running = False

    def hook(event: str, host) -> None:
        nonlocal running
        if event in ("start", "loop") and not running and first <= host.progress.step < last:
            tf.profiler.experimental.start(str(folder))
            running = True
        elif running and (host.progress.step >= last or event in ("end", "interrupted")):
            tf.profiler.experimental.stop()
            running = False

    return hook
