"""Layers and options of the families, against PyTorch and against formulas."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import modelzoo
from modelzoo.counting import layer_multiply_adds
from modelzoo.families.cnn import cnn
from modelzoo.families.mlp import mlp
from modelzoo.families.rnn import rnn
from modelzoo.families.transformer import transformer
from modelzoo.layers import AttentionPooling, SinusoidalPositions

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 7, 6)).astype(np.float32)
TOKENS = np.array([[3, 5, 2, 0, 0], [1, 2, 3, 4, 5], [7, 0, 0, 0, 0]], np.int32)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="the [parity] extra is not installed")


def test_lstm_equals_pytorch(torch):
    model = rnn((7, 6), 3, cell="lstm", units=(5,))
    kernel, recurrent, bias = (ops.convert_to_numpy(w) for w in model.get_layer("lstm_1").weights)
    theirs = torch.nn.LSTM(6, 5, batch_first=True)
    with torch.no_grad():  # both order the gates input, forget, cell, output
        theirs.weight_ih_l0.copy_(torch.from_numpy(kernel.T.copy()))
        theirs.weight_hh_l0.copy_(torch.from_numpy(recurrent.T.copy()))
        theirs.bias_ih_l0.copy_(torch.from_numpy(bias))
        theirs.bias_hh_l0.zero_()
        wanted = theirs(torch.from_numpy(X))[1][0][0].numpy()
    found = keras.Model(model.inputs, model.get_layer("lstm_1").output)(X)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_attention_equals_pytorch(torch):
    model = transformer((7, 8), 3, embed_dim=8, num_heads=2, depth=1, dropout=0.0)
    attention = model.get_layer("block_1_attention")
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    parts = {v.path.split("attention/")[-1]: ops.convert_to_numpy(v) for v in attention.weights}
    with torch.no_grad():
        for i, name in enumerate(("query", "key", "value")):
            theirs.in_proj_weight[8 * i : 8 * i + 8].copy_(torch.from_numpy(parts[f"{name}/kernel"].reshape(8, 8).T.copy()))
        theirs.out_proj.weight.copy_(torch.from_numpy(parts["attention_output/kernel"].reshape(8, 8).T.copy()))
        theirs.in_proj_bias.zero_(), theirs.out_proj.bias.zero_()
        x = RNG.normal(size=(4, 7, 8)).astype(np.float32)
        wanted = theirs(*[torch.from_numpy(x)] * 3)[0].numpy()
    np.testing.assert_allclose(attention(x, x), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_encoder_block_equals_pytorch(torch, norm):
    model = transformer((7, 8), 3, embed_dim=8, num_heads=2, depth=1, mlp_dim=16, dropout=0.0, norm=norm, activation="relu")
    theirs = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=norm == "pre")
    weight = {v.path.removeprefix("block_1_"): torch.from_numpy(ops.convert_to_numpy(v).copy()) for v in model.weights}
    with torch.no_grad():
        theirs.self_attn.in_proj_bias.zero_(), theirs.self_attn.out_proj.bias.zero_()
        for i, name in enumerate(("query", "key", "value")):
            theirs.self_attn.in_proj_weight[8 * i : 8 * i + 8].copy_(weight[f"attention/{name}/kernel"].reshape(8, 8).T)
        theirs.self_attn.out_proj.weight.copy_(weight["attention/attention_output/kernel"].reshape(8, 8).T)
        for ours, layer in (("mlp_1", theirs.linear1), ("mlp_2", theirs.linear2)):
            layer.weight.copy_(weight[f"{ours}/kernel"].T)
            layer.bias.copy_(weight[f"{ours}/bias"])
    x = RNG.normal(size=(4, 7, 8)).astype(np.float32)
    last = "block_1_add_2" if norm == "pre" else "block_1_norm_2"
    block = keras.Model(model.get_layer("positions").output, model.get_layer(last).output)
    np.testing.assert_allclose(block(x), theirs(torch.from_numpy(x)).detach().numpy(), rtol=0, atol=1e-5)


def test_attention_pooling_is_what_the_paper_says():
    layer = AttentionPooling(units=5)
    mask = np.arange(7)[None, :] < np.array([7, 3, 1, 5])[:, None]
    pooled, weights = layer(X, mask=ops.convert_to_tensor(mask))
    w, b, v = (ops.convert_to_numpy(x) for x in layer.weights)
    scores = np.where(mask, np.tanh(X @ w + b) @ v, -np.inf)
    wanted = np.exp(scores - scores.max(1, keepdims=True))
    wanted /= wanted.sum(1, keepdims=True)
    np.testing.assert_allclose(weights, wanted, rtol=0, atol=1e-6)
    np.testing.assert_allclose(pooled, (wanted[..., None] * X).sum(1), rtol=0, atol=1e-6)


def test_attention_weights_can_be_read_out():
    model = rnn((5,), 2, pooling="attention", vocab_size=10, units=(4,))
    weights = keras.Model(model.inputs, model.get_layer("attention_pooling").output[1])(TOKENS)
    np.testing.assert_allclose(np.sum(weights, axis=1), 1.0, rtol=0, atol=1e-6)
    assert np.all(np.asarray(weights)[TOKENS == 0] == 0.0)


def test_positions_are_what_the_paper_says():
    found = np.asarray(SinusoidalPositions()(np.zeros((1, 9, 6), np.float32)))[0]
    for position in range(9):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert found[position, 2 * i : 2 * i + 2] == pytest.approx([np.sin(angle), np.cos(angle)], abs=1e-6)


SEQUENCE_MODELS = {
    "lstm, last": lambda length: rnn((length,), 3, vocab_size=9, units=(4, 5)),
    "gru, mean": lambda length: rnn((length,), 3, vocab_size=9, cell="gru", pooling="mean"),
    "simple, attention": lambda length: rnn((length,), 3, vocab_size=9, cell="simple_rnn", pooling="attention"),
    "both directions": lambda length: rnn((length,), 3, vocab_size=9, bidirectional=True, units=(4,)),
    "transformer, mean": lambda length: transformer((length,), 3, vocab_size=9, embed_dim=8, dropout=0.0),
    "transformer, post": lambda length: transformer((length,), 3, vocab_size=9, embed_dim=8, dropout=0.0, norm="post"),
    "transformer, cls": lambda length: transformer(
        (length,), 3, vocab_size=9, embed_dim=8, dropout=0.0, pooling="cls", norm="post"
    ),
}


@pytest.mark.parametrize("build", SEQUENCE_MODELS.values(), ids=SEQUENCE_MODELS)
def test_padding_changes_nothing(build):
    """Tokens followed by three more zeros give the same logits."""
    short, long = build(5), build(8)
    long.set_weights(short.get_weights())
    np.testing.assert_allclose(long(np.pad(TOKENS, [[0, 0], [0, 3]])), short(TOKENS), rtol=0, atol=1e-5)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_order_matters_to_a_transformer(positions):
    model = transformer((5,), 3, vocab_size=9, embed_dim=8, dropout=0.0, positions=positions)
    for layer in model.layers:  # learned positions start near 0
        if layer.name == "positions" and layer.weights:
            layer.positions.assign(RNG.normal(size=layer.positions.shape))
    forward, backward = np.array([[1, 2, 3, 4, 5]]), np.array([[5, 4, 3, 2, 1]])
    assert np.abs(np.asarray(model(forward)) - np.asarray(model(backward))).max() > 1e-3


def test_images_are_read_row_by_row():
    images = RNG.random((2, 8, 8, 1)).astype(np.float32)
    from_image, from_rows = rnn((8, 8, 1), 3, units=(4,)), rnn((8, 8), 3, units=(4,))
    from_rows.set_weights(from_image.get_weights())
    np.testing.assert_array_equal(from_rows(images[..., 0]), from_image(images))


def kinds(model: keras.Model) -> list[str]:
    return [type(layer).__name__ for layer in model.layers]


def test_options_of_the_dense_net():
    model = mlp((4, 4), 3, widths=(8, 8), dropout=0.5, batch_norm=True, l1=0.1, l2=0.2, activation="tanh")
    assert kinds(model).count("BatchNormalization") == kinds(model).count("Dropout") == 2
    kernels = [ops.convert_to_numpy(w) for w in model.trainable_weights if w.path.endswith("kernel")]
    wanted = sum(0.1 * np.abs(k).sum() + 0.2 * (k**2).sum() for k in kernels)
    assert float(sum(model.losses)) == pytest.approx(wanted, rel=1e-5)
    assert kinds(mlp((4,), 3, widths=())) == ["InputLayer", "Dense"]


def test_options_of_the_convolutional_net():
    model = cnn((16, 16, 3), 5, filters=(4, 6), pools=(2, 1), pooling="average", padding="same", batch_norm=True, dropout=0.1)
    assert model.get_layer("conv_2").output.shape == (None, 8, 8, 6)
    assert kinds(model).count("AveragePooling2D") == 1
    assert kinds(model).count("BatchNormalization") == 2


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: cnn((4, 4, 1), 3), "too small for convolution 2"),
        (lambda: cnn((30,), 3), r"\(height, width, channels\)"),
        (lambda: cnn((8, 8, 1), 3, filters=(4,), pools=(2, 2)), "one number for each of the filters"),
        (lambda: rnn((5,), 3), "tokens need vocab_size"),
        (lambda: rnn((5, 4), 3, vocab_size=9), "tokens have the input_shape"),
        (lambda: rnn((5, 4), 3, cell="lstmm"), "unknown cell 'lstmm'. Accepted: lstm"),
        (lambda: rnn((5, 4), 3, pooling="max"), "unknown pooling 'max'"),
        (lambda: transformer((5, 4), 3, norm="mid"), "unknown norm 'mid'. Accepted: pre, post"),
        (lambda: transformer((5, 4), 3, embed_dim=10, num_heads=4), "multiple of num_heads"),
    ],
)
def test_bad_arguments_are_told(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_multiply_adds_are_those_of_the_papers():
    def count(model):
        return sum(layer_multiply_adds(layer) for layer in model.layers)

    lenet = cnn((32, 32, 1), 10, filters=(6, 16), kernel_size=5, pools=(2, 2), widths=(120, 84))
    assert count(lenet) == 28 * 28 * 6 * 25 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert count(rnn((64, 32), 10, units=(128,))) == 64 * 4 * (32 * 128 + 128 * 128) + 1280
    assert count(rnn((64, 32), 10, units=(128,), bidirectional=True)) == 2 * 64 * 4 * (32 * 128 + 128 * 128) + 2560
    encoder = transformer((64, 128), 10, embed_dim=128, depth=1, num_heads=4)
    block = 64 * (4 * 128 * 128 + 2 * 128 * 512) + 2 * 64 * 64 * 128
    assert count(encoder) == 64 * 128 * 128 + block + 1280
    depthwise = keras.Sequential([keras.Input((9, 9, 4)), layers.DepthwiseConv2D(3, depth_multiplier=2)])
    assert layer_multiply_adds(depthwise.layers[0]) == 7 * 7 * 4 * 2 * 9


@pytest.mark.parametrize(
    ("name", "options"),
    [("transformer", {}), ("transformer", dict(pooling="cls")), ("lstm", dict(pooling="mean")), ("attention_lstm", {})],
)
def test_a_row_without_tokens_gives_numbers(name, options):
    tiny = dict(input_shape=(5,), num_classes=3, vocab_size=9, embed_dim=8)
    model = modelzoo.create_model(name, **tiny, **options)
    found = np.asarray(model(np.stack([TOKENS[0], np.zeros(5, np.int32)])))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:1], np.asarray(model(TOKENS[:1])), rtol=0, atol=1e-6)
