"""Write docs/zoo.md: every registered model and every config, with what was counted and measured.

    python -m docs.zoo

Figures are those of the configs' docstrings; parameters and multiply-adds are counted here, by building the models.
"""

import ast
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

import modelzoo
from modelzoo.registry import find_entry

PAGE = Path(__file__).parent / "zoo.md"
CONFIGS = {file.stem: file for file in sorted((PAGE.parent.parent / "configs").glob("*.py"))}
Counts = tuple[int | None, int | None]  # parameters, multiply-adds of one example; None where that is not known

_SOURCES = "https://github.com/keras-modelzoo/modelzoo/blob/main/"
_HEAD = """<!-- Written by `python -m docs.zoo`; edit the models' and configs' docstrings instead. -->
# The zoo

Every registered model, by family; then every config with the figure that it reached. `python -m modelzoo show NAME` prints a
model's arguments and layers. Multiply-adds are of one example. A dash: decided by the arguments or by the data. Weights are
named sets, read as [Published weights](models.md#published-weights) says: `create_model(NAME, weights=SET)`.
"""
_MODELS = "| model | what it is | parameters | multiply-adds | task | paper | weights | configs |\n|--|--|--:|--:|--|--|--|--|"
_CONFIGS = """## Configs

Test metrics of the model with the best validation loss, and `wall_seconds`, which counts no imports. The command is in each
config's docstring. The image nets except `digits_cnn`, and the configs for your own files, were measured before the
[plans](speed.md) that split a batch over the cores; some take less time now.

| config | model | data | parameters | multiply-adds | measured |
|--|--|--|--:|--:|--|"""


def count_model(name: str) -> Counts:
    """Of a builder with its defaults; unknown if an argument has none."""
    info = modelzoo.model_info(name)
    if any(p.default is p.empty for p in info.signature.parameters.values()):
        return None, None
    return info.parameters, info.multiply_adds


def count_config(name: str) -> Counts:
    """Of the model that a config trains; unknown if only the data itself says what its shapes are."""
    from trainers.config import load_config
    from trainers.runs.build import model_arguments
    from trainers.tasks import make_task
    from trainers.tpu.shapes import spec_from_shapes

    config = load_config(name)
    try:
        spec = spec_from_shapes(config)
    except ValueError:
        return None, None
    arguments = model_arguments(config.model.to_dict(), spec, make_task(**config.task.to_dict(), spec=spec))
    info = modelzoo.model_info(arguments.pop("name"), **arguments)
    return info.parameters, info.multiply_adds


def page(of_model: Callable[[str], Counts] = count_model, of_config: Callable[[str], Counts] = count_config) -> str:
    """The page's text."""
    families: dict[str, list[str]] = {}
    for name in modelzoo.list_models():
        builder = find_entry(name).builder
        families.setdefault(getattr(builder, "func", builder).__module__, []).append(name)
    parts = [_HEAD]
    for module, names in sorted(families.items()):
        title = inspect.getdoc(importlib.import_module(module)).partition("\n")[0].rstrip(".")
        source = f"[{module}]({_SOURCES}{module.replace('.', '/')}.py)"
        parts.append("\n".join([f"## {title}\n\n{source}\n\n{_MODELS}", *(_model_row(n, of_model(n)) for n in names), ""]))
    parts.append("\n".join([_CONFIGS, *(_config_row(n, of_config(n)) for n in CONFIGS), ""]))
    return "\n".join(parts)


def saved_counts(text: str) -> tuple[dict[str, Counts], dict[str, Counts]]:
    """The counts in a page's text: of models and of configs."""
    models, _, configs = text.partition("## Configs")
    return _counts(models, column=3), _counts(configs, column=4)


def _counts(text: str, column: int) -> dict[str, Counts]:
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines() if line.startswith(("| `", "| ["))]
    return {row[1].strip("`[").partition("]")[0]: (_number(row[column]), _number(row[column + 1])) for row in rows}


def _number(text: str) -> int | None:
    return None if text == "-" else int(text.replace(",", ""))


def _model_row(name: str, counts: Counts) -> str:
    info = modelzoo.model_info(name)
    configs = ", ".join(_link(config) for config in CONFIGS if _parts(config)["model"] == name) or "-"
    hub = "https://huggingface.co/"
    weights = ", ".join(f"[{key}]({hub}{found.hub})" for key, found in info.weights.items()) or "-"
    return f"| `{name}` | {info.summary} | {_cells(counts)} | {info.task} | {info.paper or '-'} | {weights} | {configs} |"


def _config_row(name: str, counts: Counts) -> str:
    parts = _parts(name)
    measured = ast.get_docstring(ast.parse(CONFIGS[name].read_text())).split("\n\n", 2)[2].replace("\n", " ")
    return f"| {_link(name)} | `{parts['model']}` | {parts['data']} | {_cells(counts)} | {measured} |"


def _link(config: str) -> str:
    return f"[{config}]({_SOURCES}configs/{config}.py)"


def _parts(config: str) -> dict[str, str]:
    from trainers.config import load_config

    loaded = load_config(config)
    return {"model": loaded.model.name, "data": loaded.data.name}


def _cells(counts: Counts) -> str:
    return " | ".join("-" if count is None else f"{count:,}" for count in counts)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"written: {PAGE}")
