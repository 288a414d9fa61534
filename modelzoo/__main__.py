"""List the registered models, show one, or write the type stub that editors complete them by.

python -m modelzoo list [PATTERN]
python -m modelzoo show NAME [ARGUMENT=VALUE ...]
python -m modelzoo stubs
"""

import argparse
import ast
import fnmatch
import os
import sys

from modelzoo import check_backend
from modelzoo.listing import FAMILIES, Listed, listed
from modelzoo.stderr import stderr_held


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m modelzoo", description="The registered models.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("list", help="names, trainable parameters, what each is, and its paper")
    command.add_argument("pattern", nargs="?", default="*", help="such as 'mlp*'")
    command = commands.add_parser("show", help="arguments, size, paper and layers of one")
    command.add_argument("name", help="a registered name, or package.module:builder")
    command.add_argument("arguments", nargs="*", metavar="ARGUMENT=VALUE", help="such as widths='(64,32)'")
    commands.add_parser("stubs", help="write modelzoo/__init__.pyi")
    given = parser.parse_args(argv)
    try:
        if given.command == "list":
            _list(given.pattern)
        elif given.command == "stubs":
            _write_stubs()
        else:
            _show(given.name, dict(_parsed(text) for text in given.arguments))
    except (ValueError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _list(pattern: str) -> None:
    found = _listed()
    names = fnmatch.filter(found, pattern)
    if not names:
        raise ValueError(f"no model matches {pattern!r}. There are: {', '.join(found)}")
    counts = {name: f"{found[name].params:,}" if found[name].params else "" for name in names}
    widths = max(map(len, names)), max(map(len, counts.values()))
    for name in names:
        paper = f" ({found[name].year})" if found[name].year else ""
        weights = f" [weights: {', '.join(found[name].weights)}]" if found[name].weights else ""
        print(f"{name:<{widths[0]}}  {counts[name]:>{widths[1]}}  {found[name].summary}{paper}{weights}")


def _listed() -> dict[str, Listed]:
    try:
        return listed(FAMILIES)
    except ValueError:  # something is computed: the files have to be run
        _load_keras()
        from modelzoo import list_models, model_info
        from modelzoo.registry import find_entry

        entries = {name: find_entry(name) for name in list_models()}
        return {
            name: Listed(model_info(name).summary, entry.params, entry.paper, tuple(entry.weights))
            for name, entry in entries.items()
        }


def _load_keras() -> None:
    check_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with stderr_held():
        import keras  # noqa: F401


def _show(name: str, arguments: dict) -> None:
    _load_keras()
    from modelzoo import model_info

    info = model_info(name, **arguments)
    layers = info.model.layers  # first: what is wrong is raised before anything is printed
    statistics = info.parameters - info.trainable_parameters
    print(f"{name}: {info.summary}\n")
    for title, value in {
        "paper": info.paper or "none",
        "task": info.task,
        "trainable parameters": f"{info.trainable_parameters:,}",
        **({"moving statistics": f"{statistics:,}"} if statistics else {}),
        "multiply-adds": "unknown" if info.multiply_adds is None else f"{info.multiply_adds:,} per example",
        "output": info.output_shape or "unknown",
        **({"weights": ", ".join(info.weights)} if info.weights else {}),
    }.items():
        print(f"{title:<20} {value}")
    print("\narguments (default; * as counted here)")
    for argument in info.signature.parameters.values():
        default = "required" if argument.default is argument.empty else repr(argument.default)
        counted = info.arguments.get(argument.name, argument.default)
        changed = "" if counted == argument.default else f"  * {counted!r}"
        print(f"  {argument.name:<14} {default}{changed}")
    print("\nlayers")
    for layer in layers:
        shape = _output_shape(layer)
        print(f"  {layer.name:<22} {type(layer).__name__:<22} {shape:<24} {layer.count_params():>12,}")


def _output_shape(layer) -> str:
    try:
        return str(getattr(layer.output, "shape", None) or layer.output[0].shape)
    except AttributeError:  # a layer of a subclass of keras.Model
        return "unknown"


def _write_stubs() -> None:
    _load_keras()
    from modelzoo.stubs import STUB, stub

    STUB.write_text(stub())
    print(f"written: {STUB}")


def _parsed(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"an argument is NAME=VALUE. Received: {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


if __name__ == "__main__":
    sys.exit(main())
