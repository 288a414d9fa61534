"""SIGTERM and SIGINT: what a scheduler, a shutdown or Ctrl-C sends before it takes the machine away.

So does the notice of a preempted VM on Google's cloud, TPU VMs too: the guest is shut down and its processes get SIGTERM. What
TensorFlow has for such notices does not serve: PreemptionWatcher supports Google's inner TPUs alone, by its own documentation,
and PreemptionCheckpointHandler saves a tf.train.Checkpoint, which loses the state of dropout's seeds and of ours.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Interrupted(KeyboardInterrupt):
    """Training ended at a signal, after the whole state was saved."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = 128 + number  # 143 and 130: by shell's convention what a process killed by the signal exits with


@contextlib.contextmanager
def on_signal(tell: Callable[[int], None]) -> Iterator[None]:
    """Within it the first signal calls `tell` with its number; a second one ends the process at once.

    Does nothing outside the main thread, where Python allows no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame) -> None:
        for each in before:
            signal.signal(each, signal.SIG_DFL)  # the operating system's own: it does not wait for Python
        tell(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
