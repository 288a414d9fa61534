"""The ceiling: the same nets by hand in plain JAX, Adam too; data on the device, many steps in one program or one step in each.

Parameters are the Keras model's weights in Keras' order. It computes no accuracy; ours and fit do.
B batch, T steps, D embed_dim, U units, H heads, C classes.
"""

import functools
import itertools
import math
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.peers.trial import Run, Trial, epochs_of, fastest, rate, repeat
from benchmarks.peers.workloads import Examples, Workload, build_model, trainable_parameters

_SECONDS_PER_CALL = 0.25  # of a scan over steps
_RATE, _BETA_1, _BETA_2, _EPSILON = 1e-3, 0.9, 0.999, 1e-7


def mlp(p, x, **_):
    return jax.nn.relu(x.reshape(len(x), -1) @ p[0] + p[1]) @ p[2] + p[3]


def cifar10_cnn(p, x, **_):
    for kernel, bias in zip(p[0:6:2], p[1:6:2], strict=True):
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + bias)
        x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return jax.nn.relu(x.reshape(len(x), -1) @ p[6] + p[7]) @ p[8] + p[9]


def lstm(p, x, **_):
    kernel, recurrent, bias, logits, logits_bias = p
    projected = (x @ kernel + bias).swapaxes(0, 1)  # [T, B, 4 U], one product for all steps

    def step(carry, now):
        hidden, cell = carry
        i, f, g, o = jnp.split(now + hidden @ recurrent, 4, axis=-1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(cell), cell), None

    zeros = jnp.zeros((len(x), recurrent.shape[0]))
    return jax.lax.scan(step, (zeros, zeros), projected)[0][0] @ logits + logits_bias


def _norm(x, scale, offset):
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-5) * scale + offset


def _block(p, x, mask):
    (scale_1, offset_1, query, query_b, key, key_b, value, value_b, out, out_b, *dense) = p  # [D, H, D / H] each
    scale_2, offset_2, wide, wide_b, narrow, narrow_b = dense
    y = _norm(x, scale_1, offset_1)
    q, k, v = (jnp.einsum("btd,dhe->bthe", y, w) + b for w, b in ((query, query_b), (key, key_b), (value, value_b)))
    scores = jnp.einsum("bqhe,bkhe->bhqk", q, k) / math.sqrt(q.shape[-1])
    shares = jax.nn.softmax(jnp.where(mask[:, None, None], scores, -1e9))
    x = x + jnp.einsum("bhqk,bkhe,hed->bqd", shares, v, out, optimize=[(0, 1), (0, 1)]) + out_b
    return x + jax.nn.gelu(_norm(x, scale_2, offset_2) @ wide + wide_b, approximate=False) @ narrow + narrow_b


def transformer(p, tokens, *, depth: int = 2, **_):
    embedding, *blocks = p
    is_token = tokens != 0
    mask = is_token | ~is_token.any(1, keepdims=True)
    steps, width = tokens.shape[1], embedding.shape[1]
    position, feature = np.arange(steps)[:, None], np.arange(width)[None]
    angles = position / 10_000 ** (feature // 2 * 2 / width)
    table = np.where(feature % 2 == 0, np.sin(angles), np.cos(angles)).astype(np.float32)  # [T, D]
    x = embedding[tokens] * math.sqrt(width) + table
    for i in range(depth):
        x = _block(blocks[16 * i : 16 * (i + 1)], x, mask)
    scale, offset, logits, logits_bias = blocks[16 * depth :]
    weight = mask[..., None].astype(x.dtype)
    return (_norm(x, scale, offset) * weight).sum(1) / weight.sum(1) @ logits + logits_bias


NETS = {"mlp": mlp, "cifar10_cnn": cifar10_cnn, "lstm": lstm, "transformer": transformer}


def make_net(model: dict) -> Callable:
    """(parameters, x) -> logits of the Keras model that modelzoo.create_model makes of these arguments.

    Raises:
      ValueError: it was not written by hand.
    """
    if model["name"] not in NETS:
        raise ValueError("not written by hand")
    return functools.partial(NETS[model["name"]], **{k: v for k, v in model.items() if k != "name"})


def build(workload: Workload, examples: Examples, measure: str) -> Trial:
    net, model = make_net(workload.model), build_model(workload)
    start = [jnp.asarray(w.numpy()) for w in model.trainable_weights]
    x, y = examples.ready(workload.batch) if measure == "memory" else (examples.x, examples.y)
    data = jnp.asarray(x), jnp.asarray(y)
    if measure == "memory":
        rows = itertools.cycle(np.arange(len(y)).reshape(-1, workload.batch))
    else:
        rows = epochs_of(len(y), workload.batch)
    ways = {"one program for many steps": _scanned, "one program a step": _single}
    found = {name: functools.partial(way, net, start, data, rows) for name, way in ways.items()}
    name, run = fastest(found)
    return Trial(run, name, trainable_parameters(model))


def make_step(net: Callable) -> Callable:
    """(state, data, rows [B]) -> (state, loss), pure: gather, normalise, gradient, Adam (Kingma & Ba 2015)."""

    def loss_of(p, x, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(net(p, x)), y[:, None], axis=1).mean()

    def step(state, data, rows):
        p, means, squares, count = state
        x, y = (array[rows] for array in data)
        x = x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else x
        loss, gradients = jax.value_and_grad(loss_of)(p, x, y)
        count += 1
        scale = _RATE * jnp.sqrt(1 - _BETA_2**count) / (1 - _BETA_1**count)
        means = [_BETA_1 * m + (1 - _BETA_1) * g for m, g in zip(means, gradients, strict=True)]
        squares = [_BETA_2 * s + (1 - _BETA_2) * g * g for s, g in zip(squares, gradients, strict=True)]
        updates = [scale * m / (jnp.sqrt(s) + _EPSILON) for m, s in zip(means, squares, strict=True)]
        return (list(map(operator.sub, p, updates)), means, squares, count), loss

    return step


def _state(start: list):
    zeros = [jnp.zeros_like(w) for w in start]
    return [w.copy() for w in start], zeros, [z.copy() for z in zeros], jnp.float32(0)


def _single(net: Callable, start: list, data, rows) -> Run:
    program, state = jax.jit(make_step(net), donate_argnums=0), _state(start)

    def step():
        nonlocal state
        state, loss = program(state, data, next(rows))
        return loss

    return repeat(step, float)


def _scanned(net: Callable, start: list, data, rows) -> Run:
    step, state, count, measured = make_step(net), _state(start), 1, False

    @functools.partial(jax.jit, donate_argnums=0)
    def many(state, data, rows):
        state, losses = jax.lax.scan(lambda state, r: step(state, data, r), state, rows)
        return state, losses[-1]

    def steps():
        nonlocal state
        state, loss = many(state, data, np.stack(list(itertools.islice(rows, count))))
        return loss.block_until_ready()  # else calls pile up that the clock does not see

    def run(seconds: float) -> dict:
        nonlocal count, measured
        while not measured:  # each length is compiled anew, so it is found once
            steps()
            speed = rate(repeat(steps, float, steps=count)(0.0))
            measured = count >= speed * _SECONDS_PER_CALL
            count = count if measured else max(2 * count, min(16 * count, round(speed * _SECONDS_PER_CALL)))
        return repeat(steps, float, steps=count)(seconds)

    return run
