"""Published weights: files by the names of others, what is adapted, and what does not fit."""

import dataclasses
import hashlib
import json

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import modelzoo
from modelzoo import registry
from modelzoo.registry import find_entry
from modelzoo.weights import Published, save_weights
from modelzoo.weights.load import interpolated, with_channels

MEAN_STD = dict(mean=(0.5, 0.4, 0.3), std=(0.25, 0.2, 0.1))


def saved(path, name="resnet", **options) -> keras.Model:
    """A tiny model whose variables are all random, saved under the first of its family's published names."""
    model = modelzoo.create_model(name, **{**find_entry(name).tiny, **options})
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.uniform(0.1, 1.0, variable.shape))
    save_weights(model, path, next(iter(find_entry(name).names.values())))
    return model


def load(name, weights, **options) -> keras.Model:
    return modelzoo.create_model(name, weights=str(weights), **{**find_entry(name).tiny, **options})


def images(model) -> np.ndarray:
    return np.random.default_rng(1).random((2, *model.input_shape[1:])).astype(np.float32)


@pytest.mark.parametrize("name", [name for name in modelzoo.list_models(distinct=True) if find_entry(name).names])
def test_saved_under_each_of_its_names_it_loads_again(name, tmp_path):
    model = saved(tmp_path / "model.safetensors", name)
    for names in find_entry(name).names.values():
        save_weights(model, tmp_path / "model.safetensors", names)
        again = load(name, tmp_path)
        for ours, theirs in zip(again.weights, model.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=ours.path)


def test_a_file_has_the_published_names_and_shapes(tmp_path):
    saved(tmp_path / "model.safetensors")
    shapes = {name: array.shape for name, array in load_file(tmp_path / "model.safetensors").items()}
    assert shapes["conv1.weight"] == (8, 3, 7, 7)
    assert shapes["layer2.0.downsample.0.weight"] == (48, 32, 1, 1)
    assert shapes["layer1.0.bn1.running_var"] == (8,)
    assert shapes["fc.weight"] == (3, 48)


def test_another_number_of_classes_gives_a_new_head(tmp_path, caplog):
    model = saved(tmp_path / "model.safetensors")
    other = load("resnet", tmp_path, num_classes=5)
    assert "fc.weight: [3, 48] in the file, [5, 48] here: the model has a new head" in caplog.text
    np.testing.assert_array_equal(other.get_layer("layer1_0_conv1").kernel, model.get_layer("layer1_0_conv1").kernel)
    assert np.any(other.get_layer("logits").kernel)
    caplog.clear()
    assert load("resnet", tmp_path, num_classes=0).output_shape == (None, 48)
    assert "fc.weight: [3, 48] in the file, missing here" in caplog.text


def test_positions_are_interpolated(tmp_path, caplog):
    model = saved(tmp_path / "model.safetensors", "vit")
    larger = load("vit", tmp_path, input_shape=(32, 24, 3))
    assert "pos_embed: adapted from [1, 5, 16] in the file to [1, 13, 16]" in caplog.text
    positions, kept = larger.get_layer("positions").positions.numpy(), model.get_layer("positions").positions.numpy()
    np.testing.assert_array_equal(positions[0], kept[0])  # the class token's
    assert kept[1:].min() - 0.2 < positions[1:].min() < positions[1:].max() < kept[1:].max() + 0.2
    np.testing.assert_allclose(interpolated(kept, (2, 2), 5), kept, atol=1e-6)
    with pytest.raises(ValueError, match="6 position embeddings are no square grid with 1 tokens before it"):
        interpolated(np.zeros((6, 2)), (3, 3), 10)


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_the_first_convolution_takes_other_channels(channels, tmp_path, caplog):
    model = saved(tmp_path / "model.safetensors")
    other = load("resnet", tmp_path, input_shape=(32, 32, channels))
    assert f"conv1.weight: adapted from [8, 3, 7, 7] in the file to [8, {channels}, 7, 7]" in caplog.text
    grey = images(model)[..., :1]
    same = [net(np.repeat(grey, n, axis=-1)) for net, n in ((other, channels), (model, 3))]
    if channels % 3 == 0 or channels == 1:
        np.testing.assert_allclose(*same, rtol=1e-4)
    assert with_channels(np.ones((1, 3, 1, 1)), channels).sum() == pytest.approx(3)


@pytest.mark.parametrize("options", [dict(depths=(2, 2)), dict(depths=(1, 1)), dict(widths=(8, 16))])
def test_what_does_not_fit_names_three_tensors(options, tmp_path):
    saved(tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"do not fit the model 'resnet': layer\d.*; layer\d.*; layer\d.*; and \d+ more$"):
        load("resnet", tmp_path, **options)


def test_one_tensor_that_differs(tmp_path):
    saved(tmp_path / "model.safetensors")
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["bn1.weight"] = tensors["bn1.weight"][:3]
    del tensors["bn1.bias"]
    save_file({**tensors, "more": np.ones(2), "bn1.num_batches_tracked": np.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="do not fit") as raised:
        load("resnet", tmp_path)
    assert str(raised.value).endswith(
        "do not fit the model 'resnet': bn1.weight is [8] here and [3] in the file; bn1.bias is [8] here and missing in the file; "
        "more is [2] in the file and has no use here"
    )


@pytest.fixture
def a_set(tmp_path, monkeypatch):
    """Enters a named set "toy" of the tiny ResNet, and gives the folder of its file and what it was saved from."""

    def enter(**fields):
        entry = find_entry("resnet")
        published = Published("owner/resnet.toy", "mit", num_classes=3, **{**MEAN_STD, **fields})
        monkeypatch.setitem(registry._entries, "resnet", dataclasses.replace(entry, weights={"toy": published}))

    monkeypatch.setenv("MODELZOO_WEIGHTS", str(tmp_path))
    enter()
    folder = tmp_path / "owner" / "resnet.toy"
    folder.mkdir(parents=True)
    return enter, folder / "model.safetensors"


def test_a_named_set_brings_its_preprocessing(a_set):
    _, file = a_set
    model = saved(file)
    arguments = {key: value for key, value in find_entry("resnet").tiny.items() if key != "num_classes"}
    named = modelzoo.create_model("resnet", weights="toy", **arguments)
    x = images(model)
    np.testing.assert_allclose(named(x), model((x - MEAN_STD["mean"]) / MEAN_STD["std"]), rtol=1e-3)
    assert named.output_shape == (None, 3)
    assert "resnet" in modelzoo.list_models(pretrained=True)


def test_a_named_set_with_one_channel_has_the_average_of_its_means(a_set):
    _, file = a_set
    saved(file)
    grey = load("resnet", "toy", input_shape=(32, 32, 1))
    np.testing.assert_allclose(grey.get_layer("normalize").offset, [-0.4 / (0.55 / 3)])


def test_a_checksum_is_compared(a_set):
    enter, file = a_set
    saved(file)
    enter(sha256=hashlib.sha256(file.read_bytes()).hexdigest())
    assert load("resnet", "toy").output_shape == (None, 3)
    enter(sha256="0" * 64)
    with pytest.raises(ValueError, match=r"is not what was published: its sha256 is \w{64}, not 0{64}"):
        load("resnet", "toy")


@pytest.mark.parametrize("weights", ["toy", "hf:owner/resnet.toy"])
def test_without_a_network_the_file_to_fetch_is_named(weights, a_set, monkeypatch):
    def unreachable(*_):
        raise ConnectionError("no route to host\nmore")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(ValueError, match="could not be downloaded") as raised:
        load("resnet", weights)
    assert str(raised.value) == (
        "model.safetensors of owner/resnet.toy could not be downloaded (ConnectionError: no route to host). To fetch it by hand, "
        f"save https://huggingface.co/owner/resnet.toy/resolve/main/model.safetensors as {a_set[1]}"
    )


def test_a_repository_says_its_classes_and_preprocessing(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repository, name: str(tmp_path / name))
    saved(tmp_path / "model.safetensors")
    said = dict(architecture="resnet", num_classes=3, pretrained_cfg=MEAN_STD)
    (tmp_path / "config.json").write_text(json.dumps(said))
    arguments = {key: value for key, value in find_entry("resnet").tiny.items() if key != "num_classes"}
    for weights in ("hf:owner/any", str(tmp_path)):
        model = modelzoo.create_model("resnet", weights=weights, **arguments)
        assert model.output_shape == (None, 3)
        assert model.get_layer("normalize").offset == pytest.approx([-2.0, -2.0, -3.0])


@pytest.mark.parametrize(("architecture", "wanted"), [("vit_tiny_patch16_224", "vit_ti16"), ("vit_ti32", "vit_ti32")])
def test_a_repository_says_which_variant_of_a_family_it_is(architecture, wanted, tmp_path, monkeypatch):
    built = []
    monkeypatch.setattr(registry, "_build", lambda entry, *_: built.append(entry.name))
    monkeypatch.setattr("modelzoo.weights.load.load_weights", lambda *_: None)
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "config.json").write_text(json.dumps(dict(architecture=architecture)))
    modelzoo.create_model("vit", weights=str(tmp_path))
    assert built == [wanted]


def test_a_config_names_weights(tmp_path):
    from trainers.runs.build import make_model, multiply_adds

    model = saved(tmp_path / "model.safetensors")
    arguments = dict(name="resnet", weights=str(tmp_path), **find_entry("resnet").tiny)
    np.testing.assert_array_equal(make_model(arguments, "float32").get_layer("bn1").gamma, model.get_layer("bn1").gamma)
    assert multiply_adds(arguments) > 0


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        (
            "resnet18",
            "imagenet",
            r"unknown weights 'imagenet' of resnet18. Accepted: a named set \(a1_in1k, tv_in1k\), 'hf:OWNER/REPO'",
        ),
        ("resnet18", "nowhere/model.safetensors", "there is no file nowhere/model.safetensors"),
        ("resnet18", "nowhere/resnet18.pth", "nowhere/resnet18.pth is a pickle, which runs code when it is read. Convert it"),
        ("lenet5", "imagenet", "no published names are known for the model 'lenet5'"),
    ],
)
def test_weights_that_are_not_there(name, weights, message):
    with pytest.raises(ValueError, match=message):
        modelzoo.create_model(name, weights=weights)


def test_an_empty_folder(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*model.safetensors"):
        modelzoo.create_model("resnet18", weights=str(tmp_path))


def test_published_sets_are_complete():
    names = modelzoo.list_models(pretrained=True)
    assert {"resnet18", "resnet50", "densenet121", "vgg16", "vit_s16", "vit_b16"} <= set(names)
    for name in names:
        entry = find_entry(name)
        assert "timm" in " ".join(entry.names), f"{name}: the sets are timm's"
        for published in entry.weights.values():
            assert published.hub.startswith("timm/")
            assert published.license in ("apache-2.0", "bsd-3-clause", "mit")
            assert published.num_classes == entry.builder.keywords["num_classes"]
            assert published.image_size == entry.builder.keywords["input_shape"][0]
