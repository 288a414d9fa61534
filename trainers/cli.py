"""What the entry points share: flags, --config.KEY=VALUE, and errors of one line."""

import builtins
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from absl import app, flags
from absl import logging as absl_logging

from trainers.tpu_host import check_tpu, prepare_environment

STRATEGY = flags.DEFINE_string(
    "strategy", "auto", "Where to compute: auto, cpu, cpu:N (N logical devices), gpu, mirrored, multiworker, tpu."
)
TPU = flags.DEFINE_string("tpu", None, "With --strategy=tpu: local (the default), the TPU's name, or grpc://HOST:PORT.")
PLAN = flags.DEFINE_string("plan", "auto", "How steps are compiled: auto, measure, or a plan of docs/speed.md.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where data sets and files are looked for.")
DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error.")

overrides: list[str] = []  # KEY=VALUE of each --config.KEY=VALUE, once the arguments are parsed


def entry_point(main: Callable[[list[str]], None]) -> Callable[[], None]:
    """The entry point of a binary: `main` with the arguments that are no flags. Exits 1 after an error, told in one line."""

    def cli() -> None:
        app.run(lambda argv: _guarded(main, argv[1:]), flags_parser=lambda argv: _parsed(main, argv))

    return cli


def strategy() -> str:
    """What the flags name, as trainers.make_strategy takes it.

    Raises:
      ValueError: --tpu without --strategy=tpu.
    """
    if TPU.value is None:
        return STRATEGY.value
    if STRATEGY.value != "tpu":
        raise ValueError(f"--tpu goes with --strategy=tpu. Received: --tpu={TPU.value} --strategy={STRATEGY.value}")
    return "tpu" if TPU.value == "local" else f"tpu:{TPU.value}"


def _parsed(main: Callable, argv: list[str]) -> list[str]:
    module = sys.modules[main.__module__]
    where = sys.argv[0] if main.__module__ == "__main__" else main.__module__
    if {"--help", "-h", "-help", "--helpshort"} & set(argv):
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
        rest = flags.FLAGS(rest)
        _refuse_others(Path(main.__code__.co_filename).stem, where)
    except flags.Error as error:
        _fail(error)
    return rest


def _refuse_others(program: str, where: str) -> None:
    """flags.Error if something was given that only other entry points read."""
    own = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(where)]
    if overrides and "config" not in own:
        raise flags.Error(f"only trainers.train takes --config.FIELD=VALUE. {program} received: --config.{overrides[0]}")
    for flag in flags.FLAGS.get_flags_for_module(__name__):
        if flag.present and flag.name not in own:
            raise flags.Error(f"{program} takes no --{flag.name}. Accepted: {', '.join(f'--{name}' for name in sorted(own))}")


def _guarded(main: Callable, arguments: list[str]) -> None:
    _show_log()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        sys.path.append(os.getcwd())  # for "package.module:function" of the user's own, from console scripts too
        tpu = (STRATEGY.value == "tpu" and TPU.value) or "local"  # preflight's --tpu is another
        if STRATEGY.value == "tpu":
            check_tpu(tpu)
        prepare_environment(tpu)
        from trainers.quiet import import_tensorflow

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
    print(f"error: {_told(error)[:2000]}", file=sys.stderr)
    sys.exit(1)


def _told(error: Exception) -> str:
    """One line; of an error that TensorFlow passes on, the Python error in it, or the first line that says what is wrong."""
    kind, name, message = type(error), type(error).__name__, str(error)
    if _FROM_A_GRAPH.search(message):
        raised = _PYTHON_ERROR.search(message)
        if raised:
            name, message = raised[1], raised[2]
            kind = getattr(builtins, name, Exception)
        else:
            message = _first_meaningful(message)
    message = " ".join(message.split()) or name
    if _NO_XLA in message:
        return "this TensorFlow has no XLA for the CPU (tensorflow-tpu has none): give --plan=graph, or install tensorflow-cpu"
    expected = issubclass(kind, ValueError | OSError | ImportError | FloatingPointError | flags.Error)
    return message if expected else f"{name}: {message} (--debug shows where)"


_NO_XLA = "could not find registered transfer manager for platform Host"
_FROM_A_GRAPH = re.compile(r"Graph execution error|in user code:|<stack[ _]traces|\[\[\{\{node|\{\{function_node")
_PYTHON_ERROR = re.compile(
    r"\b(\w+(?:Error|Exception)): (?!Graph execution error)(.+?)\s*(?:\n\s*\n|Traceback \(most recent|\[\[\{\{node|\[Op:|\Z)",
    re.DOTALL,
)
_PARTS_WITHOUT_MEANING = re.compile(
    r"<stack[ _]traces[^>]*>|\{\{function_node [^}]*\}\}|\[\[\{\{node [^}]*\}\}\]\]|\[Op:\w+\]( name:.*)?"
    r"|Error in user-defined function passed to \S+ transformation with iterator: \S+:"
)
_LINES_WITHOUT_MEANING = re.compile(
    r"\s*(Graph execution error|Detected at node|Node: |File |\(most recent|\d+ root error)|\s{3,}"
)


def _first_meaningful(message: str) -> str:
    for line in message.splitlines():
        meaning = _PARTS_WITHOUT_MEANING.sub("", line).strip()
        if meaning and not _LINES_WITHOUT_MEANING.match(line):
            return meaning
    return message
