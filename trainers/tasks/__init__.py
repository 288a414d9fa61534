"""What is right: losses and metrics. A task is one file here, with a class of the file's name: classify.py has Classify."""

from trainers.config import construct, find_by_name
from trainers.tasks.base import Objective, Report, Task

__all__ = ["Objective", "Report", "Task", "make_task"]


def make_task(name: str, spec, **arguments) -> Task:
    """A task for data of this spec, by the name of its file or as "package.module:Class".

    Raises:
      ValueError: an unknown name, or an argument that the task does not take.
    """
    cls = find_by_name("task", name, __name__, attribute=name.title().replace("_", ""))
    return construct("task", name, cls, arguments, spec)
