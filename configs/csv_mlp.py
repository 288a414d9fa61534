"""A table of one's own with a dense net: what --data=FILE --target=COLUMN trains.

python -m trainers.train --config=csv_mlp --config.data.path=people.csv --config.data.target=income --workdir=runs/people
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="csv", path="data.csv", target="target"),
        model=dict(name="mlp", widths=(64, 64)),
        optimizer=dict(name="adamw", learning_rate=1e-3, weight_decay=1e-2),
        batch_size=32,
        epochs=100,
        patience=10,  # small tables are learnt by heart soon
    )
