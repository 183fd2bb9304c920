"""The cards of the shipped models have the figures of their training reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mnistzip.models.registry import SHIPPED
from mnistzip.training.model_card import card

PRETRAINED = Path(__file__).parents[2] / "pretrained"
BY_HAND = ("| duration |", "| command |")  # what else ran, and options that later versions renamed


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_of_a_shipped_model_has_every_line_of_its_report(name: str) -> None:
    report = json.loads((PRETRAINED / f"{name}.json").read_text())
    page = (PRETRAINED / f"{name}.md").read_text()
    missing = [line for line in card(report, "").splitlines() if line not in page and not line.startswith(BY_HAND)]
    assert not missing
