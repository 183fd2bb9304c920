"""Golden files: what was written once decodes to the same pixels for ever, and each fault gives its own error."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnistzip

VECTORS = Path(__file__).parent / "vectors"
VALID = sorted(path.stem for path in (VECTORS / "valid").glob("*.cae"))
AGREED = json.loads((VECTORS / "bare" / "agreed.json").read_text())
EXPECTED = json.loads((VECTORS / "invalid" / "expected.json").read_text())


@pytest.mark.parametrize("name", VALID)
def test_golden_files_decode_to_their_pixels(name: str) -> None:
    with Image.open(VECTORS / "valid" / f"{name}.pgm") as image:
        expected = np.asarray(image)
    assert (mnistzip.decode((VECTORS / "valid" / f"{name}.cae").read_bytes()) == expected).all()


def test_golden_files_decode_the_same_together() -> None:
    files = [(VECTORS / "valid" / f"{name}.cae").read_bytes() for name in VALID]
    for one, other in zip(mnistzip.decode_many(files), map(mnistzip.decode, files), strict=True):
        assert (one == other).all()


@pytest.mark.parametrize("name", AGREED)
def test_golden_bare_streams_decode_to_their_pixels(name: str) -> None:
    with Image.open(VECTORS / "bare" / f"{name}.pgm") as image:
        expected = np.asarray(image)
    stream = (VECTORS / "bare" / f"{name}.bare").read_bytes()
    told = AGREED[name] | {"shape": tuple(AGREED[name]["shape"])}
    assert (mnistzip.decode_bare(stream, **told) == expected).all()


@pytest.mark.parametrize("name", EXPECTED)
def test_faults_are_named(name: str) -> None:
    with pytest.raises(mnistzip.MnistzipError) as caught:
        mnistzip.decode((VECTORS / "invalid" / f"{name}.cae").read_bytes())
    assert type(caught.value).__name__ == EXPECTED[name]["error"]
    assert EXPECTED[name]["says"] in str(caught.value)


def test_every_vector_is_listed_and_none_is_missing() -> None:
    assert {path.stem for path in (VECTORS / "invalid").glob("*.cae")} == set(EXPECTED)
    assert {path.stem for path in (VECTORS / "valid").glob("*.pgm")} == set(VALID)
    assert {path.stem for path in (VECTORS / "bare").glob("*.bare")} == set(AGREED)
    assert len(VALID) >= 18
