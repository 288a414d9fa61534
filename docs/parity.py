"""Compare nets with those of torchvision and timm, and write docs/parity.md.

    pip install 'torch==2.13.0' 'torchvision==0.28.0' && pip install --no-deps timm
    python -m docs.parity [NAME ...]

The reference is built with random weights and saved; its file is loaded here, and ours is loaded there. `tests/test_parity.py`
fails where an error is above TOLERANCE. With names, their rows alone are written again.
"""

import dataclasses
import importlib
import importlib.metadata
import math
import sys
import tempfile
from pathlib import Path

import numpy as np

import modelzoo
from modelzoo.registry import find_entry
from modelzoo.weights import load_weights, save_weights
from modelzoo.weights.names import published_tensors

PAGE = Path(__file__).parent / "parity.md"
TOLERANCE = 1e-4
_BATCHES = 8

_HEAD = """<!-- Written by `python -m docs.parity`. -->
# Parity

Each net below with the random weights of a reference, saved by it as safetensors and loaded here: the largest difference of the
logits in evaluation mode, of the gradients of one training step (batch statistics, no dropout), and of the reference's logits
after it has loaded what was saved here. Float32, on a CPU; relative to the largest value, for gradients to that of each tensor,
or to a hundredth of the largest of all.

Where a ReLU or a maximum stands close to its kink, another rounding switches it: there the float32 and float64 gradients of the
reference itself differ by up to 0.3. So gradients are those of the first of up to {batches} batches that agrees.

Measured with {versions}. Tests fail above
{tolerance:g}.

| model | reference | logits | gradients | back |
|--|--|--:|--:|--:|
"""


@dataclasses.dataclass(frozen=True)
class Case:
    """One net and its reference.

    Attributes:
      reference: "library name" of the function that builds it.
      style: of our names for it.
      size: side of the images.
      ours, theirs: further arguments.
      gradients: whether those of a training step are compared too.
    """

    reference: str
    style: str
    size: int = 64
    ours: dict = dataclasses.field(default_factory=dict)
    theirs: dict = dataclasses.field(default_factory=dict)
    gradients: bool = False


_BOTH = "timm and torchvision"
CASES = {
    "resnet18": Case("torchvision resnet18", _BOTH, gradients=True),
    "resnet34": Case("torchvision resnet34", _BOTH),
    "resnet50": Case("timm resnet50", _BOTH, gradients=True),
    "resnet101": Case("timm resnet101", _BOTH),
    "resnet152": Case("torchvision resnet152", _BOTH),
    "vgg11": Case("torchvision vgg11", "torchvision", gradients=True, ours={"dropout": 0.0}, theirs={"dropout": 0.0}),
    "vgg16": Case("timm vgg16", "timm", size=224),
    "densenet121": Case("torchvision densenet121", _BOTH),
    "densenet": Case(  # few layers: with more, no batch is far from every kink
        "torchvision DenseNet", _BOTH, gradients=True, ours={"depths": (2, 2, 2, 2)}, theirs={"block_config": (2, 2, 2, 2)}
    ),
    "densenet201": Case("timm densenet201", _BOTH),
    "vit_ti16": Case("timm vit_tiny_patch16_224", "timm", theirs={"img_size": 64}, gradients=True),
    "vit_b32": Case("timm vit_base_patch32_224", "timm", theirs={"img_size": 64}),
    "vit_s16_mean": Case(
        "timm vit_small_patch16_224",
        "timm",
        theirs={"img_size": 64, "class_token": False, "global_pool": "avg", "fc_norm": False},
    ),
    "convnext_tiny": Case("timm convnext_tiny", "timm", gradients=True),
    "mixer_s16": Case("timm mixer_s16_224", "timm", theirs={"img_size": 64}, gradients=True),
    "mixer_b16": Case("timm mixer_b16_224", "timm", theirs={"img_size": 64}),
    "efficientnet_b0": Case("timm efficientnet_b0", "timm", ours={"dropout": 0.0}, theirs={"drop_rate": 0.0}, gradients=True),
    "efficientnet_b1": Case("timm efficientnet_b1", "timm"),
    "mobilenetv3_large": Case("timm mobilenetv3_large_100", "timm"),
    "mobilenetv3_small": Case(
        "timm mobilenetv3_small_100", "timm", ours={"dropout": 0.0}, theirs={"drop_rate": 0.0}, gradients=True
    ),
    "swin_tiny": Case("timm swin_tiny_patch4_window7_224", "timm", size=224, theirs={"drop_path_rate": 0.0}, gradients=True),
    "alexnet": Case(
        "torchvision alexnet", "torchvision", size=96, gradients=True, ours={"dropout": 0.0}, theirs={"dropout": 0.0}
    ),
}


def measure(name: str, case: Case) -> dict[str, float]:
    """{"logits", "gradients" (where compared), "back"}: relative errors."""
    import torch
    from safetensors.torch import load_file, save_file

    torch.manual_seed(0)
    reference = _reference(case)
    model = modelzoo.create_model(name, input_shape=(case.size, case.size, 3), num_classes=10, **case.ours)
    names = find_entry(name).names[case.style]
    x = np.random.default_rng(0).normal(size=(4, case.size, case.size, 3)).astype(np.float32)
    images = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    errors = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        save_file({key: value.contiguous() for key, value in reference.state_dict().items()}, path)
        load_weights(model, path, {case.style: names})
        with torch.no_grad():
            wanted = reference.eval()(images).numpy()
        errors["logits"] = _error(np.asarray(model(x, training=False)), wanted)
        save_weights(model, path, names)
        saved, state = load_file(path), reference.state_dict()
        untouched = [key for key in state if key not in saved]
        for value in state.values():
            value.zero_()
        reference.load_state_dict({**saved, **{key: state[key] for key in untouched}})
        with torch.no_grad():
            errors["back"] = _error(reference(images).numpy(), wanted)
    if case.gradients:
        errors["gradients"] = _gradient_error(model, names, case.size, reference)
    return errors


def _reference(case: Case):
    """With random moving statistics too: those of a new net are 0 and 1."""
    import torch

    declare_operators()
    library, name = case.reference.split()
    if library == "torchvision":
        built = getattr(importlib.import_module("torchvision.models"), name)(num_classes=10, **case.theirs)
    else:
        built = importlib.import_module("timm").create_model(name, pretrained=False, num_classes=10, **case.theirs)
    for key, value in built.state_dict().items():
        if key.endswith(("running_mean", "running_var")):
            value.add_(0.1 * torch.rand_like(value))
        elif value.is_floating_point() and (value.ndim <= 1 or not value.any()):  # what begins as 0, 1 or 1e-6
            value.add_(0.05 * torch.randn_like(value))
    return built


def declare_operators() -> None:
    """torchvision's wheel has operators for CUDA's torch, which a CPU's cannot load; its nets use none."""
    import torch

    if "torchvision" not in sys.modules and "+cpu" in torch.__version__:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def _gradient_error(model, names, size: int, reference) -> float:
    """Of the worst tensor, for the first batch within tolerance; for the best one where there is none."""
    reference.train()
    kept, best = model.get_weights(), math.inf
    for seed in range(_BATCHES):
        x = np.random.default_rng(seed).normal(size=(4, size, size, 3)).astype(np.float32)
        theirs, ours = _torch_gradients(reference, x), _our_gradients(model, names, x)
        model.set_weights(kept)
        floor = 1e-2 * max(
            np.abs(value).max() for value in theirs.values()
        )  # before a normalisation some are 0 but for rounding
        best = min(best, max(_error(ours[name], value, floor) for name, value in theirs.items()))
        if best < TOLERANCE:
            break
    return best


def _torch_gradients(reference, x: np.ndarray) -> dict[str, np.ndarray]:
    """Of a cross-entropy, in training mode."""
    import torch

    reference.zero_grad()
    images, classes = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.arange(len(x)) % 10
    torch.nn.functional.cross_entropy(reference(images), classes).backward()
    return {name: p.grad.numpy().copy() for name, p in reference.named_parameters() if p.grad is not None}


def _our_gradients(model, names, x: np.ndarray) -> dict[str, np.ndarray]:
    """The same, under the published names. The model's weights are overwritten."""
    import tensorflow as tf

    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        logits = model(x, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(np.arange(len(x)) % 10, logits))
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign(gradient)  # so that they are laid out as weights are
    return {name: tensor.value() for name, tensor in published_tensors(model, names).items()}


def _error(found: np.ndarray, wanted: np.ndarray, floor: float = 0.0) -> float:
    return float(np.abs(found - wanted).max() / max(np.abs(wanted).max(), floor))


def page(errors: dict[str, dict[str, float]], before: str = "") -> str:
    """The page's text; of nets that were not measured with the rows of the text before."""
    kept = {line.split("`")[1]: line for line in before.splitlines() if line.startswith("| `")}
    rows = [_row(name, errors[name]) if name in errors else kept[name] for name in CASES if name in errors or name in kept]
    packages = ("torch", "torchvision", "timm", "tensorflow-cpu", "keras")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    return _HEAD.format(versions=versions, batches=_BATCHES, tolerance=TOLERANCE) + "\n".join(rows) + "\n"


def _row(name: str, errors: dict[str, float]) -> str:
    cells = [f"{errors[kind]:.1e}" if kind in errors else "-" for kind in ("logits", "gradients", "back")]
    return f"| `{name}` | {CASES[name].reference} | {' | '.join(cells)} |"


if __name__ == "__main__":
    for name in sys.argv[1:] or CASES:
        measured = {name: measure(name, CASES[name])}
        print(name, measured[name], flush=True)
        PAGE.write_text(page(measured, PAGE.read_text() if PAGE.exists() else ""))
