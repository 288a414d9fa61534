"""Train and evaluate a model.

    python -m trainers.train --config=configs/digits_mlp.py --workdir=runs/digits_mlp
    python -m trainers.train --config=digits_mlp --config.optimizer.learning_rate=0.01 --workdir=runs/faster
    python -m trainers.train --data=people.csv --target=income --workdir=runs/people

Any field of the config is set by --config.FIELD=VALUE, any argument of its parts by --config.PART.ARGUMENT=VALUE. The same
command again goes on from the last checkpoint. SIGTERM and Ctrl-C save the whole state first and exit with 143 and 130; a
second one ends the process at once.
"""

from absl import flags

from trainers import cli as shared

CONFIG = flags.DEFINE_string("config", None, "A config: a file, or a name in configs/.")
DATA = flags.DEFINE_string(
    "data", None, "Your own data instead of a config: a CSV, a TSV or JSONL of texts, or an image folder."
)
TARGET = flags.DEFINE_string("target", None, "With --data: the column to predict.")
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run, or gs://BUCKET/FOLDER; made if it is not there.")
INIT_FROM = flags.DEFINE_string("init_from", None, "Weights to begin with: a run's folder, a .keras or .safetensors file.")
SAVE_MINUTES = flags.DEFINE_float("save_every_minutes", 1.0, "A checkpoint so often, besides at evaluations; 0 for never.")
SAVE_STEPS = flags.DEFINE_integer("save_every_steps", None, "A checkpoint every so many steps.")
KEEP = flags.DEFINE_integer("keep", 2, "How many checkpoints are kept besides the best.")
CLUSTER = flags.DEFINE_string("cluster", None, "host:port,host:port,... of all hosts, with --task; instead of TF_CONFIG.")
TASK = flags.DEFINE_integer("task", None, "Which of --cluster this process is, from 0.")
PROFILE = flags.DEFINE_string("profile", None, "FROM:TO, steps to trace for TensorBoard's profiler.")
flags.adopt_module_key_flags(shared)


def main(arguments: list[str]) -> None:
    from trainers.config import load_config
    from trainers.engine.strategy import set_cluster
    from trainers.runs.checkpoint import Saving
    from trainers.runs.run import run

    if arguments:
        raise ValueError(f"train takes flags alone. Received: {' '.join(arguments)}")
    if (CONFIG.value is None) == (DATA.value is None):
        raise ValueError("give either --config or --data; `ls configs` shows the configs there are")
    if WORKDIR.value is None:
        raise ValueError("give --workdir, the folder that the run is written to")
    if CONFIG.value and TARGET.value is not None:
        raise ValueError(f"--target goes with --data, not with --config. Received: --target={TARGET.value}")
    if TASK.value is not None and not CLUSTER.value:
        raise ValueError(f"--task is a place in --cluster, which is not given. Received: --task={TASK.value}")
    if CLUSTER.value and shared.STRATEGY.value not in ("auto", "multiworker"):
        raise ValueError(f"with --cluster, --strategy is auto or multiworker. Received: {shared.STRATEGY.value}")
    if CLUSTER.value:
        set_cluster(CLUSTER.value, TASK.value)
    if DATA.value:
        from trainers.data.infer import infer_config

        config = infer_config(DATA.value, TARGET.value, tuple(shared.overrides), shared.DATA_DIR.value)
    else:
        config = load_config(CONFIG.value, shared.overrides)
    run(
        config,
        WORKDIR.value,
        strategy="multiworker" if CLUSTER.value else shared.strategy(),
        plan=shared.PLAN.value,
        data_dir=shared.DATA_DIR.value,
        init_from=INIT_FROM.value,
        saving=Saving(every_minutes=SAVE_MINUTES.value or None, every_steps=SAVE_STEPS.value, keep=KEEP.value),
        profile_steps=_steps(PROFILE.value) if PROFILE.value else None,
    )


def _steps(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    if not (first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise ValueError(f"--profile is FROM:TO, two steps. Received: {text!r}")
    return int(first), int(last)


cli = shared.entry_point(main)
if __name__ == "__main__":
    cli()
