"""The type stub of the package, by which editors complete the builders that it finds lazily."""

import ast
import inspect
import re
from pathlib import Path

import modelzoo
from modelzoo.registry import find_entry, list_models, model_info

STUB = Path(__file__).parent / "__init__.pyi"

_HEAD = """# Written by `python -m modelzoo stubs`; a test compares it with the builders.
import collections.abc
from typing import Any

import keras

{names}

__version__: str

def check_backend() -> None: ...
"""


def stub() -> str:
    """The text of the stub: every registered builder with its arguments and the first line of its docstring."""
    names = "\n".join(f"from modelzoo.registry import {name} as {name}" for name in modelzoo.__all__)
    return _HEAD.format(names=names) + "\n".join(map(_function, list_models()))


def _function(name: str) -> str:
    signature = inspect.signature(find_entry(name).builder)
    lines, kinds = [], set()
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not kinds & {parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL}:
            lines.append("*")
        kinds.add(parameter.kind)
        lines.append(_argument(parameter))
    arguments = "".join(f"    {line},\n" for line in lines)
    return f'def {name}(\n{arguments}) -> keras.Model:\n    """{model_info(name).summary}"""\n'


def _argument(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    kind = "Any" if parameter.annotation is parameter.empty else inspect.formatannotation(parameter.annotation)
    kind = re.sub(r"\bkeras\.src\.[\w.]+\.(\w+)", r"keras.\1", kind)
    default = "" if parameter.default is parameter.empty else f" = {_literal(parameter.default)}"
    return f"{stars}{parameter.name}: {kind}{default}"


def _literal(value) -> str:
    """As code; "..." for what is no literal."""
    try:
        ast.literal_eval(repr(value))
    except (ValueError, SyntaxError):
        return "..."
    return repr(value) if '"' in repr(value) else repr(value).replace("'", '"')
