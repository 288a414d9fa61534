"""Only the matrix products of a workload's step, one after the other, through one library: a limit for every net in it."""

import os
import time
from collections.abc import Callable

import numpy as np

from benchmarks.peers.products import Product, products
from benchmarks.peers.trial import Trial, fastest, rate, repeat
from benchmarks.peers.workloads import Examples, Workload, build_model

_CALLS = 10  # between two looks at the clock


def build(workload: Workload, examples: Examples, measure: str, *, library: str) -> Trial:
    counts = products(build_model(workload), workload.batch)
    runs = {product: _PREPARE[library](product) for product in counts}

    def run(seconds: float) -> dict:
        each = max(seconds / len(runs), 0.02)
        began, found = time.perf_counter(), []
        for product, once in runs.items():
            measured = once(each)
            found.append([product.kind, product.shape, counts[product], 1 / rate(measured), product.multiply_adds])
        total = sum(count * spent for _, _, count, spent, _ in found)
        return dict(steps=1, seconds=total, loss=0.0, products=found, spent=time.perf_counter() - began)

    return Trial(run, library, 0)


def _arrays(product: Product) -> tuple[np.ndarray, ...]:
    """Its two operands; of a backward convolution (input, kernel, gradient)."""
    rng = np.random.default_rng(0)
    if product.kind == "matmul":
        batches, rows, inner, columns = product.shape
        shapes = [(rows, inner), (inner, columns)] if batches == 1 else [(batches, rows, inner), (batches, inner, columns)]
    else:
        images, height, width, channels, size, filters, strides = product.shape
        places = ((height - size) // strides + 1, (width - size) // strides + 1)
        shapes = [(images, height, width, channels), (size, size, channels, filters), (images, *places, filters)]
    return tuple(rng.normal(size=shape).astype(np.float32) for shape in shapes)


def _repeated(once: Callable, wait: Callable = lambda found: None):
    def calls():
        for _ in range(_CALLS):
            found = once()
        wait(found)

    calls()
    return repeat(calls, lambda _: 0.0, steps=_CALLS)


def _prepare_torch(product: Product):
    import torch

    torch.set_num_threads(os.cpu_count())
    if product.kind == "matmul":
        a, b = map(torch.from_numpy, _arrays(product))
        out = a @ b
        return _repeated(lambda: torch.matmul(a, b, out=out))
    strides, mask = [product.shape[-1]] * 2, [product.kind == "conv_dx", product.kind == "conv_dw", False]

    def in_layout(form):
        x, kernel, gradient = map(torch.from_numpy, _arrays(product))
        x, gradient = (t.permute(0, 3, 1, 2).contiguous(memory_format=form) for t in (x, gradient))
        kernel = kernel.permute(3, 2, 0, 1).contiguous(memory_format=form)
        rest = (None, strides, [0, 0], [1, 1], False, [0, 0], 1)
        backward = torch.ops.aten.convolution_backward
        if product.kind == "conv":
            return _repeated(lambda: torch.conv2d(x, kernel, stride=strides))
        return _repeated(lambda: backward(gradient, x, kernel, *rest, mask))

    layouts = {str(form): (lambda form=form: in_layout(form)) for form in (torch.contiguous_format, torch.channels_last)}
    with torch.no_grad():
        return fastest(layouts, 0.1)[1]


def _prepare_tensorflow(product: Product):
    import tensorflow as tf

    arrays = [tf.constant(a) for a in _arrays(product)]
    if product.kind == "matmul":
        return _repeated(tf.function(lambda: tf.matmul(*arrays)).get_concrete_function())
    x, kernel, gradient = arrays
    options = dict(strides=[1, product.shape[-1], product.shape[-1], 1], padding="VALID")

    def convolution():
        if product.kind == "conv":
            return tf.nn.conv2d(x, kernel, **options)
        if product.kind == "conv_dx":
            return tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, out_backprop=gradient, **options)
        return tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=kernel.shape, out_backprop=gradient, **options)

    # Eager tensors are captured as inputs of the function, so nothing is folded into a constant.
    return _repeated(tf.function(convolution).get_concrete_function())


def _prepare_jax(product: Product):
    import jax

    arrays = [jax.device_put(a) for a in _arrays(product)]
    if product.kind == "matmul":
        a, b = arrays
        program, given = jax.jit(jax.numpy.matmul), (a, b)
    else:
        x, kernel, gradient = arrays

        def convolution(x, kernel):
            layout = ("NHWC", "HWIO", "NHWC")
            return jax.lax.conv_general_dilated(x, kernel, (product.shape[-1],) * 2, "VALID", dimension_numbers=layout)

        def backward(x, kernel, gradient):
            found = jax.vjp(convolution, x, kernel)[1](gradient)
            return found[0 if product.kind == "conv_dx" else 1]

        given = (x, kernel) if product.kind == "conv" else (x, kernel, gradient)
        program = jax.jit(convolution if product.kind == "conv" else backward)
    return _repeated(lambda: program(*given), lambda found: found.block_until_ready())


_PREPARE = {"torch": _prepare_torch, "tensorflow": _prepare_tensorflow, "jax": _prepare_jax}
