"""Nets against those of torchvision and timm, with the same random weights. `python -m docs.parity` writes the errors down."""

import pytest

from docs.parity import CASES, PAGE, TOLERANCE, measure


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_equals_its_reference(name):
    pytest.importorskip("torch", reason="the [parity] extra is not installed")
    pytest.importorskip("timm", reason="the [parity] extra is not installed")
    for kind, error in measure(name, CASES[name]).items():
        assert error < TOLERANCE, kind


def test_the_page_has_every_case():
    rows = [line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows == list(CASES), "run python -m docs.parity"
