"""The registered models, read from their files: to run these takes Keras, and seconds."""

import ast
import dataclasses
import functools
import inspect
import re
from pathlib import Path

FAMILIES = Path(__file__).parent / "families"


@dataclasses.dataclass(frozen=True)
class Listed:
    """What a file says of a model; `params` and `paper` are None where they are not stated, `weights` are names of sets."""

    summary: str
    params: int | None = None
    paper: str | None = None
    weights: tuple[str, ...] = ()

    @property
    def year(self) -> str | None:
        """The paper up to its year: "He, Zhang, Ren & Sun 2016"."""
        return self.paper and re.split(r"(?<=\d{4}),", self.paper)[0]


@functools.cache
def listed(folder: Path = FAMILIES) -> dict[str, Listed]:
    """{name: what its file says} of the models in a folder's files, sorted by name.

    Raises:
      ValueError: a name, summary, paper or number that is computed, so that its file has to be run.
    """
    found, bases = {}, {}
    for file in folder.glob("*.py"):
        tree = ast.parse(file.read_bytes())
        assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
        constants = {t.id: node.value for node in assigned for t in node.targets if isinstance(t, ast.Name)}

        def value(node: ast.expr, constants: dict = constants):
            return ast.literal_eval(constants.get(node.id, node) if isinstance(node, ast.Name) else node)

        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                for call in filter(_is_registration, node.decorator_list):
                    found[node.name] = _from(call, ast.get_docstring(node) or "", value)
            elif _is_call(node, "variant"):
                name, base = value(node.args[0]), node.args[1]
                bases[name] = getattr(base, "id", getattr(base, "attr", None))
                found[name] = _from(node, "", value)
    return {name: _with_paper(name, found, bases) for name in sorted(found)}


def _is_call(node: ast.AST, function: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function


def _is_registration(node: ast.AST) -> bool:
    return _is_call(node, "register_model")


def _from(call: ast.Call, doc: str, value) -> Listed:
    given = {k.arg: value(k.value) for k in call.keywords if k.arg in ("doc", "params", "paper")}
    given |= {k.arg: tuple(map(value, k.value.keys)) for k in call.keywords if k.arg == "weights"}
    summary = inspect.cleandoc(given.pop("doc", doc)).partition("\n")[0]
    return Listed(summary, **given)


def _with_paper(name: str, found: dict[str, Listed], bases: dict[str, str]) -> Listed:
    """A variant without a paper has its base's."""
    base = name
    while base in bases and not found[base].paper:
        base = bases[base]
    return dataclasses.replace(found[name], paper=found[base].paper if base in found else None)
