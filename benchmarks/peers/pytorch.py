"""PyTorch, eager or with torch.compile. It computes no accuracy; ours and fit do."""

import functools
import itertools
import os
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F

from benchmarks.peers.torch_nets import make_net
from benchmarks.peers.trial import Run, Trial, epochs_of, fastest, repeat
from benchmarks.peers.workloads import Examples, Workload

torch.set_flush_denormal(True)  # as TensorFlow and XLA do
_tuned: dict[str, tuple] = {}  # (Adam, layout, threads) of a net, found on ready batches and used for the input too


def build(workload: Workload, examples: Examples, measure: str, *, compiled: bool = False) -> Trial:
    net, key = make_net(workload.model), str(workload)
    has_convolutions = any(isinstance(module, torch.nn.Conv2d) for module in net.modules())
    layouts = ("NCHW", "channels_last") if has_convolutions else ("",)
    settings = [_tuned[key]] if key in _tuned else list(itertools.product(("fused", "foreach"), layouts, (os.cpu_count(), 1)))
    sources = {"ready": _ready} if measure == "memory" else SOURCES
    make = functools.partial(_make_run, net, workload, examples)
    found = {(*s, name): functools.partial(make, *s, source) for s in settings for name, source in sources.items()}
    (*best, source), run = fastest(found)
    adam, layout, threads = _tuned[key] = tuple(best)
    if compiled:  # with what is fastest without
        run = make(*best, sources[source], compiled=True)
    said = ", ".join(filter(None, [f"{adam} Adam", layout, f"{threads} threads", source]))
    return Trial(run, said, sum(p.numel() for p in net.parameters() if p.requires_grad))


def _make_run(
    net,
    workload: Workload,
    examples: Examples,
    adam: str,
    layout: str,
    threads: int,
    source: Callable,
    *,
    compiled: bool = False,
) -> Run:
    form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    net.to(memory_format=form).train()
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3, **{adam: True})
    batches = source(workload, examples, form)

    def loss_of(x, y):
        return F.cross_entropy(net(x), y)

    loss_of = torch.compile(loss_of) if compiled else loss_of

    def step():
        x, y = next(batches)
        optimizer.zero_grad()
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    steps = repeat(step, lambda loss: loss.item())

    def run(seconds: float) -> dict:
        torch.set_num_threads(threads)  # of the whole process, where other nets may want others
        return steps(seconds)

    return run


def _tensors(x, y, form) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.from_numpy(x)
    return (x.permute(0, 3, 1, 2).contiguous(memory_format=form) if x.ndim == 4 else x), torch.from_numpy(y).long()


def _normalised(x: torch.Tensor) -> torch.Tensor:
    return x.float().div_(255) if x.dtype == torch.uint8 else x


def _ready(workload: Workload, examples: Examples, form) -> Iterable:
    x, y = _tensors(*examples.ready(workload.batch), form)
    return itertools.cycle(list(zip(x.split(workload.batch), y.split(workload.batch), strict=True)))


def _slices(workload: Workload, examples: Examples, form) -> Iterable:
    """A permutation of indices and one gather a batch."""
    x, y = _tensors(examples.x, examples.y, form)
    rows = map(torch.from_numpy, epochs_of(len(y), workload.batch))
    return ((_normalised(x[r]).contiguous(memory_format=form) if x.ndim == 4 else _normalised(x[r]), y[r]) for r in rows)


def _loader(workload: Workload, examples: Examples, form, *, workers: int) -> Iterable:
    dataset = torch.utils.data.TensorDataset(*_tensors(examples.x, examples.y, form))
    loader = torch.utils.data.DataLoader(
        dataset, workload.batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    return ((_normalised(x).contiguous(memory_format=form) if x.ndim == 4 else _normalised(x), y) for x, y in epochs)


SOURCES = {
    "gathered slices": _slices,
    "DataLoader": functools.partial(_loader, workers=0),
    "DataLoader with 2 workers": functools.partial(_loader, workers=2),
}
