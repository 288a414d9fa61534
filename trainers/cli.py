"""What the doors share: flags, --config.KEY=VALUE, and errors of one line."""

import logging
import os
import sys
from collections.abc import Callable

from absl import app, flags
from absl import logging as absl_logging

STRATEGY = flags.DEFINE_string(
    "strategy", "auto", "Where to compute: auto, cpu, cpu:N (N logical devices), gpu, mirrored, multiworker, tpu."
)
PLAN = flags.DEFINE_string("plan", "auto", "How steps are compiled: auto, graph or xla.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where data sets and files are looked for.")
DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error.")

overrides: list[str] = []  # KEY=VALUE of each --config.KEY=VALUE, once the arguments are parsed


def door(main: Callable[[list[str]], None]) -> Callable[[], None]:
    """The entry point of a binary: `main` with the arguments that are no flags. Exits 1 after an error, told in one line."""

    def cli() -> None:
        app.run(lambda argv: _guarded(main, argv[1:]), flags_parser=lambda argv: _parsed(main, argv))

    return cli


def _parsed(main: Callable, argv: list[str]) -> list[str]:
    module = sys.modules[main.__module__]
    if {"--help", "-h", "-help", "--helpshort"} & set(argv):
        where = sys.argv[0] if main.__module__ == "__main__" else main.__module__
        print(f"{module.__doc__}\nFlags:\n{flags.FLAGS.module_help(where).partition(':')[2]}")
        sys.exit(0)
    arguments = iter(argv)
    rest = []
    for argument in arguments:
        if argument.startswith("--config."):
            key, equals, value = argument.removeprefix("--config.").partition("=")
            overrides.append(f"{key}={value if equals else next(arguments, '')}")
        else:
            rest.append(argument)
    try:
        return flags.FLAGS(rest)
    except flags.Error as error:
        _fail(error)


def _guarded(main: Callable, arguments: list[str]) -> None:
    _show_log()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    sys.path.append(os.getcwd())  # for "package.module:function" of the user's own, from console scripts too
    try:
        from modelzoo.quiet import import_tensorflow

        import_tensorflow()
        main(arguments)
    except KeyboardInterrupt as error:
        print(f"\n{str(error) or 'interrupted'}; the same command goes on from the last checkpoint", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", 130))
    except Exception as error:
        if DEBUG.value:
            raise
        _fail(error)


def _show_log() -> None:
    """Our own messages as they are, TensorFlow's and tfds' only if they are errors."""
    absl_logging.set_verbosity(absl_logging.ERROR)
    ours, handler = logging.getLogger("trainers"), logging.StreamHandler()
    handler.setFormatter(_Formatter())
    ours.handlers, ours.propagate = [handler], False
    ours.setLevel(logging.INFO)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"{'warning: ' if record.levelno >= logging.WARNING else ''}{record.getMessage()}"


def _fail(error: Exception) -> None:
    message = " ".join(_without_trace(str(error)).split()) or type(error).__name__
    expected = isinstance(error, ValueError | OSError | ImportError | FloatingPointError | flags.Error)
    if not expected:
        message = f"{type(error).__name__}: {message} (--debug shows where)"
    print(f"error: {message[:2000]}", file=sys.stderr)
    sys.exit(1)


def _without_trace(message: str) -> str:
    """Without the lines that TensorFlow puts before what is wrong: where the graph was made."""
    if not message.startswith("Graph execution error"):
        return message
    noise = ("Graph execution error", "Detected at node", "File ", " ", "<stack_traces", "(most recent")
    return "\n".join(line for line in message.splitlines() if line.strip() and not line.startswith(noise))
