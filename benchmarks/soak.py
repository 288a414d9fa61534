"""Does a long run leak? Trains for 20,000 steps with evaluations and checkpoints, and prints the process's resident memory.

    python -m benchmarks.soak [--steps=20000]

An evaluation every 500 steps, a checkpoint every 100. It takes about half a minute on 2 cores; exit code
1 if memory grew by more than 5% from the middle to the end, or a function was traced more than once.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from trainers.quiet import import_tensorflow


def resident_megabytes() -> float:
    """Of this process; from /proc: Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def soak(steps: int, data_dir: str | None = None) -> dict:
    """{"start", "middle", "end": megabytes, "traces": of each function}."""
    from trainers import Config, run
    from trainers.runs.checkpoint import Saving

    config = Config(
        data=dict(name="digits", augment=dict(crop=1)),
        model=dict(name="mlp", widths=(64,), dropout=0.2, batch_norm=True),
        optimizer=dict(name="adam", learning_rate=1e-3, use_ema=True),
        batch_size=32,
        steps=steps,
        eval_every_steps=500,
        log_every_steps=100,
    )
    marks = {"start": 1000 if steps > 4000 else steps // 4, "middle": steps // 2, "end": steps}
    found = {}

    def measure(event: str, learner) -> None:
        for name, step in marks.items():
            if event == "loop" and name not in found and learner.progress.step >= step:
                found[name] = round(resident_megabytes(), 1)
        if event == "end":
            functions = [
                *(loop._loop for loop in learner._loops.values()),
                learner._eval_loop,
                learner.train_step.objectives[0].loss_and_gradients,
                learner.train_step.objectives[0].updated,
            ]
            found["traces"] = [f.experimental_get_tracing_count() for f in functions]

    with tempfile.TemporaryDirectory() as folder:
        run(config, Path(folder) / "run", strategy="cpu", data_dir=data_dir, saving=Saving(every_steps=100), hooks=[measure])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    given = parser.parse_args()
    import_tensorflow()
    found = soak(given.steps)
    print(f"resident memory, MB: {found['start']} at the start, {found['middle']} in the middle, {found['end']} at the end")
    print(f"traces of each function: {found['traces']}")
    return int(found["end"] > 1.05 * found["middle"] or set(found["traces"]) != {1})


if __name__ == "__main__":
    sys.exit(main())
