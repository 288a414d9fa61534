"""Predict with the best model of a run.

    python -m trainers.predict --workdir=runs/digits_mlp digit.png another.png
    python -m trainers.predict --workdir=runs/people strangers.csv
    python -m trainers.predict --workdir=runs/reviews texts.txt

Each image is one example; each row of a table, each line of texts. A line of the answer has the file, the number of the
example in it where it has several, and the class and its probability, or the value; with tabs between.
"""

from absl import flags

from trainers import cli as shared

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.")
flags.declare_key_flag("debug")


def main(files: list[str]) -> None:
    from trainers.runs.finished import predict_run

    if WORKDIR.value is None or not files:
        raise ValueError("give --workdir, the folder of a run, and one file or more")
    for file, answers in predict_run(WORKDIR.value, files):
        for i, answer in enumerate(answers, start=1):
            place = [str(file), str(i)] if len(answers) > 1 else [str(file)]
            print("\t".join([*place, *(f"{v:.4f}" if isinstance(v, float) else str(v) for v in answer.values())]))


cli = shared.entry_point(main)
if __name__ == "__main__":
    cli()
