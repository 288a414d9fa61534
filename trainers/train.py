"""Train and evaluate a model.

    python -m trainers.train --config=configs/digits_mlp.py --workdir=runs/digits_mlp
    python -m trainers.train --config=digits_mlp --config.optimizer.learning_rate=0.01 --workdir=runs/faster
    python -m trainers.train --data=people.csv --target=income --workdir=runs/people

Any field of the config is set by --config.FIELD=VALUE, any argument of its parts by --config.PART.ARGUMENT=VALUE. The same
command again goes on from the last checkpoint.
"""

from absl import flags

from trainers import cli as shared

CONFIG = flags.DEFINE_string("config", None, "A config: a file, or a name in configs/.")
DATA = flags.DEFINE_string(
    "data", None, "Your own data instead of a config: a CSV, a TSV or JSONL of texts, or an image folder."
)
TARGET = flags.DEFINE_string("target", None, "With --data: the column to predict.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; made if it is not there.")
PROFILE = flags.DEFINE_string("profile", None, "FROM:TO, steps to trace for TensorBoard's profiler.")
flags.adopt_module_key_flags(shared)


def main(arguments: list[str]) -> None:
    from pathlib import Path

    from trainers.config import load_config
    from trainers.engine.run import run

    if arguments:
        raise ValueError(f"train takes flags alone. Received: {' '.join(arguments)}")
    if (CONFIG.value is None) == (DATA.value is None):
        raise ValueError("give either --config or --data; `ls configs` shows the configs there are")
    if WORKDIR.value is None:
        raise ValueError("give --workdir, the folder that the run is written to")
    if DATA.value:
        from trainers.data.infer import infer_config

        config = infer_config(DATA.value, TARGET.value, tuple(shared.overrides), shared.DATA_DIR.value)
    else:
        config = load_config(CONFIG.value, shared.overrides)
    run(
        config,
        Path(WORKDIR.value),
        strategy=shared.STRATEGY.value,
        plan=shared.PLAN.value,
        data_dir=shared.DATA_DIR.value,
        profile_steps=_steps(PROFILE.value) if PROFILE.value else None,
    )


def _steps(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise ValueError(f"--profile is FROM:TO, two steps. Received: {text!r}")
    return int(first), int(last)


cli = shared.door(main)
if __name__ == "__main__":
    cli()
