"""Evaluate the best model of a run.

    python -m trainers.evaluate --workdir=runs/digits_mlp
    python -m trainers.evaluate --workdir=runs/people --data=people_of_2027.csv

Without --data: the split of the run's own data; the test split gives the figures that training printed, digit for digit.
"""

from absl import flags

from trainers import cli as shared

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
SPLIT = flags.DEFINE_string("split", None, "train, validation or test (the default). With --data: all of a file or folder.")
DATA = flags.DEFINE_string("data", None, "Other data of the same shape: a file or folder, or a tensorflow-datasets name.")
flags.adopt_module_key_flags(shared)


def main(arguments: list[str]) -> None:
    from trainers.runs.finished import evaluate_run

    if WORKDIR.value is None or arguments:
        raise ValueError("give --workdir, the folder of a run, and no other argument than flags")
    metrics, report = evaluate_run(
        WORKDIR.value,
        split=SPLIT.value,
        data=DATA.value,
        strategy=shared.strategy(),
        plan=shared.PLAN.value,
        data_dir=shared.DATA_DIR.value,
    )
    for name, value in metrics.items():
        print(f"{name:<16} {value:.4f}")
    print(f"\n{report}")


cli = shared.entry_point(main)
if __name__ == "__main__":
    cli()
