"""Each augmentation, eagerly and inside Dataset.map (these can differ)."""

import numpy as np
import pytest
import tensorflow as tf

from trainers.data.augment import AUGMENTATIONS, crop, flip, make_augment, rotate

RNG = np.random.default_rng(0)
IMAGES = {"uint8": RNG.integers(0, 256, (6, 9, 8, 3)).astype(np.uint8), "float32": RNG.random((6, 9, 8, 3), np.float32)}
U = [np.linspace(0, 0.99, 6, dtype=np.float32), np.linspace(0.99, 0, 6, dtype=np.float32)]


@pytest.fixture(params=["eager", "map"])
def apply(request):
    def eager(function, images, argument):
        return function(tf.constant(images), [tf.constant(u) for u in U], argument).numpy()

    def mapped(function, images, argument):
        dataset = tf.data.Dataset.from_tensors(images).map(lambda x: function(x, [tf.constant(u) for u in U], argument))
        return next(dataset.as_numpy_iterator())

    return eager if request.param == "eager" else mapped


@pytest.mark.parametrize("dtype", IMAGES)
def test_flip(apply, dtype):
    images, found = IMAGES[dtype], apply(flip, IMAGES[dtype], True)
    for i, u in enumerate(U[0]):
        np.testing.assert_array_equal(found[i], images[i, :, ::-1] if u < 0.5 else images[i])


@pytest.mark.parametrize("dtype", IMAGES)
def test_crop(apply, dtype):
    images, found = IMAGES[dtype], apply(crop, IMAGES[dtype], 2)
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)])
    for i in range(6):
        row, column = int(U[0][i] * 5), int(U[1][i] * 5)
        np.testing.assert_array_equal(found[i], padded[i, row : row + 9, column : column + 8])


@pytest.mark.parametrize("dtype", IMAGES)
def test_rotate_by_nothing_and_by_a_quarter(apply, dtype):
    square = IMAGES[dtype][:, :8]
    still = rotate(tf.constant(square), [tf.fill([6], 0.5)], 90.0).numpy()
    np.testing.assert_array_equal(still, square)
    turned = rotate(tf.constant(square), [tf.fill([6], 1.0)], 90.0).numpy()
    np.testing.assert_allclose(turned, np.rot90(square, axes=(1, 2)), rtol=0, atol=1 if dtype == "uint8" else 1e-4)
    assert apply(rotate, square, 30.0).shape == square.shape


def test_names_and_order():
    images = tf.constant(IMAGES["uint8"])
    used = []
    both = make_augment({"crop": 2, "flip": True})(images, lambda stream: used.append(stream) or tf.constant(U[stream % 2]))
    wanted = crop(flip(images, [tf.constant(u) for u in U], True), [tf.constant(u) for u in U], 2)
    np.testing.assert_array_equal(both, wanted)
    assert len(set(used)) == len(used), "each number is used once"
    assert make_augment({"flip": False, "rotate": 0})(images, None) is images
    with pytest.raises(ValueError, match="unknown augmentation 'flop'. Accepted: flip, crop, rotate"):
        make_augment({"flop": True})
    assert list(AUGMENTATIONS) == ["flip", "crop", "rotate"]
