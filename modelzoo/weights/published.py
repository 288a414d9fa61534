"""Where published weights are, and what belongs to them."""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from modelzoo.weights.names import Names

_PICKLED = (".pth", ".pt", ".bin", ".pkl", ".ckpt")


@dataclasses.dataclass(frozen=True)
class Published:
    """A named set of weights.

    Attributes:
      hub: its repository, OWNER/REPO.
      license: of the weights.
      mean, std: of each channel of images of 0..1, by which the net's images are normalised.
      image_size: the side of the images that it was evaluated with.
      crop: the part of the resized image's side that is kept.
      interpolation: of the resizing.
      top1: published accuracy on ImageNet's validation set, in percent; None where it is not known.
      sha256: of the file; None where it is not known: then only names and shapes of the tensors are checked.
      num_classes: of the file's head.
      file: its name in the repository.
    """

    hub: str
    license: str
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    image_size: int = 224
    crop: float = 0.875
    interpolation: str = "bicubic"
    top1: float | None = None
    sha256: str | None = None
    num_classes: int = 1000
    file: str = "model.safetensors"


@dataclasses.dataclass(frozen=True)
class File:
    """A file of weights on this machine, with what its publisher says of it; None and {} where it says nothing."""

    path: Path
    mean_std: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    num_classes: int | None = None
    architecture: str | None = None


def weights_folder() -> Path:
    """Where files that were fetched by hand are looked for: $MODELZOO_WEIGHTS, or ~/.cache/modelzoo/weights."""
    return Path(os.environ.get("MODELZOO_WEIGHTS", Path.home() / ".cache" / "modelzoo" / "weights"))


def find_weights(weights: str, model: str, names: dict[str, Names], published: dict[str, Published]) -> File:
    """The file of a named set, a repository, a folder or a file; downloaded into huggingface_hub's cache where need be.

    Raises:
      ValueError: the model has no mapping; nothing is there by that name; a pickled file; another checksum than published; or
        no network, with the file to fetch by hand and where to put it.
    """
    if not names:
        raise ValueError(
            f"no published names are known for the model {model!r}, so that it takes no weights=. "
            "modelzoo.list_models(pretrained=True) lists the models with published weights"
        )
    if weights in published:
        found = published[weights]
        path = _fetch(found.hub, found.file)
        _check_sum(path, found.sha256)
        return File(path, (found.mean, found.std), found.num_classes)
    if weights.startswith("hf:"):
        repository = weights.removeprefix("hf:")
        return _with_config(_fetch(repository, "model.safetensors"), _fetch(repository, "config.json", optional=True))
    path = Path(weights).expanduser()
    if path.is_dir():
        return _with_config(_existing(path / "model.safetensors"), path / "config.json")
    if path.suffix in _PICKLED:
        raise ValueError(
            f"{path} is a pickle, which runs code when it is read. Convert it with PyTorch: "
            f"safetensors.torch.save_file(torch.load({path.name!r}, weights_only=True), {path.stem + '.safetensors'!r})"
        )
    if path.suffix == ".safetensors":
        return File(_existing(path))
    sets = ", ".join(published) or "none"
    raise ValueError(
        f"unknown weights {weights!r} of {model}. Accepted: a named set ({sets}), 'hf:OWNER/REPO', "
        "or the path of a .safetensors file or of a folder with a model.safetensors"
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return path


def _with_config(path: Path, config: Path | None) -> File:
    """With what timm's config.json says."""
    if config is None or not config.is_file():
        return File(path)
    said = json.loads(config.read_text())
    preprocessing = said.get("pretrained_cfg", {})
    known = "mean" in preprocessing and "std" in preprocessing
    mean_std = (tuple(preprocessing["mean"]), tuple(preprocessing["std"])) if known else None
    return File(path, mean_std, said.get("num_classes"), said.get("architecture"))


def _fetch(repository: str, name: str, *, optional: bool = False) -> Path | None:
    """A file of a repository; one that was put there by hand comes first."""
    by_hand = weights_folder() / repository / name
    if by_hand.is_file():
        return by_hand
    if optional and by_hand.parent.is_dir():
        return None
    import huggingface_hub  # slow to import, and needed for downloads alone

    try:
        return Path(huggingface_hub.hf_hub_download(repository, name))
    except Exception as error:  # its errors, and those of the HTTP library below it, have no common class
        if optional:
            return None
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{name} of {repository} could not be downloaded ({type(error).__name__}: {reason}). To fetch it by hand, save "
            f"https://huggingface.co/{repository}/resolve/main/{name} as {by_hand}"
        ) from error


def _check_sum(path: Path, sha256: str | None) -> None:
    if sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(f"{path} is not what was published: its sha256 is {found}, not {sha256}. Delete it to fetch it again")
