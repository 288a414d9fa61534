"""Steps per second of each plan on each kind of net: what the rule in trainers/engine/plan.py rests on.

    python -m benchmarks.plans [--rounds=5]

Each plan trains the same net on the same random data in memory, batch 64, Adam; the plans take turns, and the table has
medians over the rounds. It takes about 5 minutes on 2 cores.
"""

import argparse
import time

import numpy as np

from modelzoo.quiet import import_tensorflow

NETS = {
    "mlp 784-128-10": dict(name="mlp", input_shape=(28, 28, 1)),
    "mlp 784-128-10, dropout": dict(name="mlp", input_shape=(28, 28, 1), dropout=0.5),
    "mlp 784-1024-1024-10": dict(name="mlp", input_shape=(28, 28, 1), widths=(1024, 1024)),
    "mnist_cnn": dict(name="mnist_cnn"),
    "cifar10_cnn": dict(name="cifar10_cnn"),
    "lstm 128, 64 steps of 32": dict(name="lstm", input_shape=(64, 32)),
    "gru 128, 64 tokens": dict(name="gru", input_shape=(64,), vocab_size=1000, embed_dim=32),
    "transformer 2x128, 64 tokens, dropout": dict(name="transformer", input_shape=(64,), vocab_size=1000),
    "transformer 1x128, 64 tokens, dropout": dict(name="transformer", input_shape=(64,), vocab_size=1000, depth=1),
    "transformer 2x128, 64 tokens": dict(name="transformer", input_shape=(64,), vocab_size=1000, dropout=0.0),
    "transformer 1x128, 64 tokens": dict(name="transformer", input_shape=(64,), vocab_size=1000, depth=1, dropout=0.0),
}
BATCH, SECONDS = 64, 2.0


def make_trial(arguments: dict, plan: str):
    """A function that trains for about SECONDS and returns steps per second."""
    import modelzoo
    from trainers.data.encoders import ArrayEncoder
    from trainers.data.pipeline import Data, Spec, Split
    from trainers.engine.host import Host
    from trainers.engine.optimizers import make_optimizer
    from trainers.engine.plan import make_plan
    from trainers.engine.progress import Timetable
    from trainers.engine.strategy import make_strategy
    from trainers.tasks import make_task

    arguments = {"num_classes": 10, **arguments}
    model = modelzoo.create_model(arguments.pop("name"), **arguments)
    shape, rng = model.input_shape[1:], np.random.default_rng(0)
    vocab = arguments.get("vocab_size")
    x = rng.integers(1, vocab, (1024, *shape)).astype(np.int32) if vocab else rng.random((1024, *shape), np.float32)
    split = Split(x, rng.integers(0, 10, 1024).astype(np.int32))
    data = Data(Spec(input_shape=shape, examples={"train": 1024}, num_classes=10), {"train": split}, ArrayEncoder())
    strategy = make_strategy("cpu")
    host = Host(
        model,
        make_task("classify", data.spec),
        make_optimizer("adam", total_steps=1),
        strategy,
        make_plan(plan, model, strategy),
    )
    host.fit(data, batch_size=BATCH, timetable=Timetable(total_steps=2, steps_per_epoch=16))

    def trial() -> float:
        steps, seconds, deadline = host.progress.examples / BATCH, host.progress.seconds, time.perf_counter() + SECONDS

        def stop(event: str, host: Host) -> None:
            if time.perf_counter() > deadline:
                host.stop()

        host.fit(data, batch_size=BATCH, timetable=Timetable(total_steps=10**9, steps_per_epoch=16), hooks=[stop])
        return (host.progress.examples / BATCH - steps) / (host.progress.seconds - seconds)

    return trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    import_tensorflow()
    print(f"{'net':<40}{'graph':>10}{'xla':>10}  xla / graph")
    for name, arguments in NETS.items():
        trials = {plan: make_trial(arguments, plan) for plan in ("graph", "xla")}
        found = np.array([[trial() for trial in trials.values()] for _ in range(rounds)])
        graph, xla = np.median(found, axis=0)
        ratios = found[:, 1] / found[:, 0]
        print(
            f"{name:<40}{graph:>10.1f}{xla:>10.1f}  {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
            flush=True,
        )


if __name__ == "__main__":
    main()
