"""Nets against those of torchvision and timm, with the same random weights. `python -m docs.parity` writes the errors down."""

import importlib.util

import numpy as np
import pytest

from docs.parity import CASES, PAGE, TOLERANCE, declare_operators, measure
from modelzoo.weights.load import interpolated


def skip_without_peers() -> None:
    if not all(importlib.util.find_spec(name) for name in ("torch", "torchvision", "timm")):
        pytest.skip("torch, torchvision or timm is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_equals_its_reference(name):
    skip_without_peers()
    for kind, error in measure(name, CASES[name]).items():
        assert error < TOLERANCE, kind


def test_positions_are_interpolated_as_timm_does():
    skip_without_peers()
    declare_operators()
    import torch
    from timm.layers import resample_abs_pos_embed

    positions = np.random.default_rng(0).normal(size=(1 + 49, 8)).astype(np.float32)
    for grid in ((14, 14), (4, 6)):
        wanted = resample_abs_pos_embed(torch.from_numpy(positions[None]), list(grid), num_prefix_tokens=1)[0].numpy()
        np.testing.assert_allclose(interpolated(positions, grid, len(wanted)), wanted, atol=1e-4)


def test_the_page_has_every_case():
    rows = [line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == list(CASES), "run python -m docs.parity"
