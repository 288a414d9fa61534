"""A folder of images of one's own with a small convolutional net: what --data=FOLDER trains.

python -m trainers.train --config=image_folder_cnn --config.data.path=photos --workdir=runs/photos
"""

from trainers.config import Config


def get_config() -> Config:
    return Config(
        data=dict(name="image_folder", path="images", size=(32, 32), channels=3, augment=dict(crop=2)),
        model=dict(name="cnn", filters=(32, 64, 128), pools=(2, 2, 2), padding="same", batch_norm=True, dropout=0.25),
        optimizer=dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine")),
        batch_size=32,
        epochs=30,
        patience=10,
    )
