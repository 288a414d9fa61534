"""Steps per second of each plan on each kind of net: what the rule in trainers/speed/plan.py rests on.

    python -m benchmarks.plans [--rounds=5]

Each plan trains the same net on the same random data in memory, batch 64, Adam; the plans take turns, and the table has
medians over the rounds, with a star at the rule's choice.
"""

import argparse

import numpy as np

from trainers.quiet import import_tensorflow

NETS = {
    "mlp 784-128-10": dict(name="mlp", input_shape=(28, 28, 1)),
    "mlp 784-128-10, dropout": dict(name="mlp", input_shape=(28, 28, 1), dropout=0.5),
    "mlp 784-512-512-10": dict(name="mlp", input_shape=(28, 28, 1), widths=(512, 512)),
    "mlp 784-128-10, batch norm": dict(name="mlp", input_shape=(28, 28, 1), batch_norm=True),
    "mlp 784-1024-1024-10": dict(name="mlp", input_shape=(28, 28, 1), widths=(1024, 1024)),
    "mnist_cnn": dict(name="mnist_cnn"),
    "cnn 32-64, batch norm": dict(name="cnn", input_shape=(28, 28, 1), filters=(32, 64), pools=(2, 2), batch_norm=True),
    "cifar10_cnn": dict(name="cifar10_cnn"),
    "lstm 128, 64 steps of 32": dict(name="lstm", input_shape=(64, 32)),
    "gru 128, 64 tokens": dict(name="gru", input_shape=(64,), vocab_size=1000, embed_dim=32),
    "transformer 2x128, 64 tokens, dropout": dict(name="transformer", input_shape=(64,), vocab_size=1000),
    "transformer 1x128, 64 tokens, dropout": dict(name="transformer", input_shape=(64,), vocab_size=1000, depth=1),
    "transformer 2x128, 64 tokens": dict(name="transformer", input_shape=(64,), vocab_size=1000, dropout=0.0),
    "transformer 1x128, 64 tokens": dict(name="transformer", input_shape=(64,), vocab_size=1000, depth=1, dropout=0.0),
}
BATCH, SECONDS = 64, 2.0


def make_learner(arguments: dict, plan: str):
    """A learner with this plan, and its data; None if the plan cannot be used."""
    import modelzoo
    from trainers.data.encoders import ArrayEncoder
    from trainers.data.pipeline import Data, Spec, Split
    from trainers.engine.learner import Learner
    from trainers.engine.optimizers import optimizer_rules
    from trainers.engine.strategy import make_strategy
    from trainers.speed.plan import make_plan, supported_plans
    from trainers.tasks import make_task

    arguments = {"num_classes": 10, **arguments}
    model = modelzoo.create_model(arguments.pop("name"), **arguments)
    shape, rng = model.input_shape[1:], np.random.default_rng(0)
    vocab = arguments.get("vocab_size")
    x = rng.integers(1, vocab, (1024, *shape)).astype(np.int32) if vocab else rng.random((1024, *shape), np.float32)
    split = Split(x, rng.integers(0, 10, 1024).astype(np.int32))
    data = Data(Spec(input_shape=shape, examples={"train": 1024}, num_classes=10), {"train": split}, ArrayEncoder())
    strategy = make_strategy("cpu")
    if plan not in ("auto", *supported_plans(model, strategy, resident=True)):
        return None
    optimizers, task = optimizer_rules("adam"), make_task("classify", data.spec)
    return Learner(model, task, optimizers, strategy, make_plan(plan, model, strategy, resident=True)), data


def make_trial(arguments: dict, plan: str):
    """A function that trains for about SECONDS and returns steps per second; None if the plan cannot be used."""
    made = make_learner(arguments, plan)
    if made is None:
        return None
    learner, data = made
    run = learner.make_trial(data, BATCH)
    run(1)  # traces and compiles
    rate = 1 / run(1)

    def trial() -> float:
        nonlocal rate
        steps = max(1, int(rate * SECONDS))
        rate = steps / run(steps)
        return rate

    return trial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    import_tensorflow()
    from trainers.speed.plan import PLANS

    print(f"{'net':<40}" + "".join(f"{plan:>14}" for plan in PLANS))
    for name, arguments in NETS.items():
        trials = {plan: trial for plan in PLANS if (trial := make_trial(arguments, plan))}
        found = np.median([[trial() for trial in trials.values()] for _ in range(rounds)], axis=0)
        rates, chosen = dict(zip(trials, found, strict=True)), make_learner(arguments, "auto")[0].plan.name
        cells = [f"{rates[plan]:.3g}{'*' if plan == chosen else ''}" if plan in rates else "-" for plan in PLANS]
        print(f"{name:<40}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
