"""What a run says: hooks for the console, metrics.jsonl and TensorBoard. Each takes (event, learner)."""

from trainers.report.console import console, readable
from trainers.report.metrics_file import metrics_file
from trainers.report.tensorboard import profile, tensorboard

__all__ = ["console", "metrics_file", "profile", "readable", "tensorboard"]
