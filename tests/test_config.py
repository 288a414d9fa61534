"""Configs: fields, types, files, overrides."""

import json

import pytest

from trainers import Config, load_config


def make(**changes) -> Config:
    fields = dict(
        data=dict(name="digits"), model=dict(name="mlp", widths=(8,)), optimizer=dict(name="adam"), batch_size=8, epochs=1
    )
    return Config(**{**fields, **changes})


def test_a_config_is_made_of_its_parts():
    config = make(epochs=2)
    assert (config.model.widths, config.task.name, config.seed, config.epochs) == ((8,), "classify", 0, 2.0)
    assert make(**config.to_dict()).to_dict() == config.to_dict()
    json.dumps(config.to_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(batchsize=8), "unknown config field 'batchsize'. Nearest: batch_size"),
        (dict(batch_size=0), "config.batch_size must be positive. Received: 0"),
        (dict(batch_size=-8), "must be positive. Received: -8"),
        (dict(batch_size=8.0), "config.batch_size must be int. Received: 8.0"),
        (dict(batch_size=True), "config.batch_size must be int. Received: True"),
        (dict(epochs="2"), "config.epochs must be float or None. Received: '2'"),
        (dict(epochs=None), "either epochs or steps. Received: epochs=None, steps=None"),
        (dict(steps=5), "either epochs or steps"),
        (dict(eval_every_epochs=1, eval_every_steps=1), "either eval_every_epochs or eval_every_steps"),
        (dict(precision="half"), "unknown precision 'half'. Accepted: float32, bfloat16, float16"),
        (dict(accumulate=3), "batch_size must be a multiple of accumulate. Received: 8 and 3"),
        (dict(seed=-1), "config.seed must be positive"),
        (dict(model="mlp"), "config.model must be dict. Received: 'mlp'"),
        (dict(model=dict(widths=(8,))), r"config.model needs a name. Received: \{'widths': \(8,\)\}"),
    ],
)
def test_what_is_wrong_is_told(changes, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(**changes)


def test_a_field_is_checked_when_it_is_set():
    config = make()
    with pytest.raises(ValueError, match="unknown config field 'batchsize'"):
        config.batchsize = 4
    with pytest.raises(ValueError, match="must be positive"):
        config.batch_size = -4


FILE = """
from trainers import Config
def get_config():
    return Config(data=dict(name="digits"), model=dict(name="mlp", widths=(8, 4), dropout=0.5, batch_norm=False),
                  optimizer=dict(name="adam", learning_rate=0.001, weight_decay=None), batch_size=8, epochs=1)
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(FILE)
    return str(tmp_path / "mine.py")


def test_overrides(file):
    config = load_config(file, [
        "batch_size=16", "epochs=0.5", "model.widths=(3,)", "model.dropout=1", "model.batch_norm=True", "model.name=mlp2",
        "optimizer.weight_decay=0.1", "optimizer.schedule.name=cosine", "optimizer.learning_rate=1e-2",
        "data.split=train[:10%]", "patience=3",
    ])  # fmt: skip
    assert (config.batch_size, config.epochs, config.patience) == (16, 0.5, 3)
    assert config.model.to_dict() == {"name": "mlp2", "widths": (3,), "dropout": 1, "batch_norm": True}
    assert config.optimizer.to_dict() == {
        "name": "adam", "learning_rate": 0.01, "weight_decay": 0.1, "schedule": {"name": "cosine"},
    }  # fmt: skip
    assert config.data.split == "train[:10%]"
    assert load_config(file, ["epochs=None", "steps=7"]).steps == 7


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batchsize=3", "unknown config field 'batchsize'. Nearest: batch_size"),
        ("batch_size", "an override is KEY=VALUE. Received: 'batch_size'"),
        ("batch_size=many", "config.batch_size is 8 and must stay int. Received: 'many'"),
        ("batch_size=1.5", "config.batch_size must be int. Received: 1.5"),
        ("model.dropout=much", "config.model.dropout is 0.5 and must stay float"),
        ("model.widths=3", r"config.model.widths is \[8, 4\] and must stay list"),
        ("model.batch_norm=1", "must stay bool"),
        ("model.widths.x=3", "'widths' is .* not a dict"),
        ("model=mlp", "must stay dict"),
    ],
)
def test_bad_overrides_are_told(file, override, message):
    with pytest.raises(ValueError, match=message):
        load_config(file, [override])


def test_where_configs_are_found(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_config("digits_mlp").to_dict() == load_config("configs/digits_mlp.py").to_dict()
    assert load_config("mine.py").model.dropout == 0.5
    saved = tmp_path / "config.json"
    saved.write_text(json.dumps({"config": load_config(file).to_dict()}))
    assert load_config(str(saved)).to_dict() == load_config(file).to_dict()
    with pytest.raises(ValueError, match="no config 'digit_mlp': neither a file nor a name. Nearest: digits_mlp"):
        load_config("digit_mlp")
    with pytest.raises(ValueError, match="no config 'elsewhere/digits_mlp.py'"):
        load_config("elsewhere/digits_mlp.py")


def test_a_file_without_get_config_is_told(tmp_path):
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ValueError, match=r"empty.py has no function get_config\(\)"):
        load_config(str(tmp_path / "empty.py"))
    (tmp_path / "broken.py").write_text("def get_config(:")
    with pytest.raises(ValueError, match="broken.py: SyntaxError: invalid syntax"):
        load_config(str(tmp_path / "broken.py"))
    (tmp_path / "other.py").write_text("def get_config(): return {}")
    with pytest.raises(ValueError, match="other.py: get_config.* must return a trainers.Config. Received: dict"):
        load_config(str(tmp_path / "other.py"))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="config.json is no config.json of a run"):
        load_config(str(tmp_path / "config.json"))
