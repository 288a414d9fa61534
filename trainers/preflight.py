"""Will a config train on a TPU? Asked of the TPU's own compiler, on a machine without a TPU.

    python -m trainers.preflight --config=configs/cifar10_cnn.py --tpu=v5e-4 --tpu=v6e-8
    python -m trainers.preflight --config=csv_mlp --input_shape=30 --num_classes=2 --tpu=v5e-4
    python -m trainers.preflight --all --tiny

For each --tpu: whether the step compiles, its memory on a chip, the largest batch that fits, what padding wastes, the bytes
that chips exchange, and what a step cannot be faster than. It says nothing of numbers that come out, nor of speed. No data is
read: shapes are those that a data set declares, of the model's arguments, or of the flags. Any --config.FIELD=VALUE works as in
trainers.train. --all writes the table in docs/tpu.md: of all shipped configs, or, with --tiny, of every model's smallest
instance. Exits 1 where a step does not compile or does not fit.
"""

import sys

from absl import flags

from trainers import cli as shared

CONFIG = flags.DEFINE_string("config", None, "A config: a file, or a name in configs/.")
TPU = flags.DEFINE_multi_string(
    "tpu", [], "Kind and number, as v5e-4; again for another.", allow_override=True
)  # of cli's --tpu
INPUT_SHAPE = flags.DEFINE_list("input_shape", None, "Of one example, where the data does not declare it: 32,32,3.")
NUM_CLASSES = flags.DEFINE_integer("num_classes", None, "Classes, or targets of a regression, where the data does not declare.")
VOCAB_SIZE = flags.DEFINE_integer("vocab_size", None, "Of tokens, where the data does not declare it.")
BISECT_S = flags.DEFINE_float("bisect_s", 120.0, "Seconds to look for the largest batch that fits, for each --tpu; 0: not.")
TIMEOUT_S = flags.DEFINE_float("timeout_s", 600.0, "The most seconds that one compile may take.")
ALL = flags.DEFINE_bool("all", False, "Write the table of docs/tpu.md; with --config only its row.")
TINY = flags.DEFINE_bool("tiny", False, "With --all: the smallest instance of every registered model.")
flags.declare_key_flag("debug")


def main(arguments: list[str]) -> None:
    from trainers.tpu.compiling import check_installed

    if arguments:
        raise ValueError(f"preflight takes flags alone. Received: {' '.join(arguments)}")
    check_installed()
    if ALL.value:
        _write_table()
        return
    if CONFIG.value is None or not TPU.value:
        raise ValueError("give --config and --tpu, or --all. Such as --config=configs/cifar10_cnn.py --tpu=v5e-4")
    if not _examine():
        sys.exit(1)


def _examine() -> bool:
    """Print what is found for each --tpu; whether all is well."""
    from trainers.config import load_config
    from trainers.tpu.check import check, search
    from trainers.tpu.chips import parse_tpu
    from trainers.tpu.report import report
    from trainers.tpu.shapes import spec_from_shapes

    slices = [parse_tpu(name) for name in TPU.value]
    config = load_config(CONFIG.value, shared.overrides)
    batches = [where.batch(config.batch_size) for where in slices]
    shape = INPUT_SHAPE.value and tuple(_number(size) for size in INPUT_SHAPE.value)
    spec = spec_from_shapes(config, input_shape=shape, num_classes=NUM_CLASSES.value, vocab_size=VOCAB_SIZE.value)
    fine = True
    for where, batch in zip(slices, batches, strict=True):
        found = check(config, spec, where, batch, timeout_s=TIMEOUT_S.value)
        searched = BISECT_S.value > 0 and (found.fits or found.wanted)
        options = dict(timeout_s=TIMEOUT_S.value, seconds=BISECT_S.value)
        print(report(found, search(config, spec, found, **options) if searched else None), flush=True)
        fine = fine and found.fits
    return fine


def _number(text: str) -> int:
    if not text.strip().isdigit():
        raise ValueError(f"--input_shape is sizes with commas between, as 32,32,3. Received: {','.join(INPUT_SHAPE.value)}")
    return int(text)


def _write_table() -> None:
    from trainers.tpu.table import write_table

    if TPU.value or shared.overrides:
        raise ValueError("--all takes neither --tpu nor --config.FIELD=VALUE: its table is of v5e-1 and v6e-1")
    write_table(only=CONFIG.value, tiny=TINY.value, timeout_s=TIMEOUT_S.value, bisect_s=BISECT_S.value)


cli = shared.entry_point(main)
if __name__ == "__main__":
    cli()
