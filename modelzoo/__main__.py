"""List the registered models, or show one.

python -m modelzoo list [PATTERN]
python -m modelzoo show NAME [ARGUMENT=VALUE ...]
"""

import argparse
import ast
import fnmatch
import inspect
import os
import sys
from pathlib import Path

from modelzoo import check_backend
from modelzoo.stderr import stderr_held


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m modelzoo", description="The registered models.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("list", help="names, with what each is")
    command.add_argument("pattern", nargs="?", default="*", help="such as 'mlp*'")
    command = commands.add_parser("show", help="arguments, size, paper and layers of one")
    command.add_argument("name", help="a registered name, or package.module:builder")
    command.add_argument("arguments", nargs="*", metavar="ARGUMENT=VALUE", help="such as widths='(64,32)'")
    given = parser.parse_args(argv)
    try:
        if given.command == "list":
            _list(given.pattern)
        else:
            _show(given.name, dict(_parsed(text) for text in given.arguments))
    except (ValueError, ImportError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


def _list(pattern: str) -> None:
    summaries = _summaries()
    names = fnmatch.filter(summaries, pattern)
    if not names:
        raise ValueError(f"no model matches {pattern!r}. There are: {', '.join(summaries)}")
    for name in names:
        print(f"{name:<{max(map(len, names))}}  {summaries[name]}")


def _summaries() -> dict[str, str]:
    """{name: summary} of all models, sorted. Read from their files, since running these takes Keras and seconds."""
    docs = {}
    try:
        for file in (Path(__file__).parent / "families").glob("*.py"):
            for node in ast.walk(ast.parse(file.read_bytes())):
                if isinstance(node, ast.FunctionDef) and any(_calls(d, "register_model") for d in node.decorator_list):
                    docs[node.name] = ast.get_docstring(node) or ""
                elif _calls(node, "variant"):
                    (doc,) = (keyword.value for keyword in node.keywords if keyword.arg == "doc")
                    docs[ast.literal_eval(node.args[0])] = inspect.cleandoc(ast.literal_eval(doc))
    except ValueError:  # a name or a doc that is computed: it has to be run
        _load_keras()
        from modelzoo import list_models, model_info

        return {name: model_info(name).summary for name in list_models()}
    return {name: docs[name].partition("\n")[0] for name in sorted(docs)}


def _calls(node: ast.AST, function: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function


def _load_keras() -> None:
    check_backend()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with stderr_held():
        import keras  # noqa: F401


def _show(name: str, arguments: dict) -> None:
    _load_keras()
    from modelzoo import model_info

    info = model_info(name, **arguments)
    layers = info.model.layers  # first: what is wrong is told before anything is printed
    print(f"{name}: {info.summary}\n")
    for title, value in {
        "paper": info.paper or "none",
        "task": info.task,
        "parameters": f"{info.parameters:,}",
        "multiply-adds": f"{info.multiply_adds:,} an example",
        "output": info.output_shape,
    }.items():
        print(f"{title:<14} {value}")
    print("\narguments (default; * as counted here)")
    for argument in info.signature.parameters.values():
        default = "required" if argument.default is argument.empty else repr(argument.default)
        counted = info.arguments.get(argument.name, argument.default)
        changed = "" if counted == argument.default else f"  * {counted!r}"
        print(f"  {argument.name:<14} {default}{changed}")
    print("\nlayers")
    for layer in layers:
        shape = getattr(layer.output, "shape", None) or layer.output[0].shape
        print(f"  {layer.name:<22} {type(layer).__name__:<22} {shape!s:<24} {layer.count_params():>12,}")


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
