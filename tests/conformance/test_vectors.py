"""Golden files: what was written once decodes to the same pixels for ever, and each fault gives its own error."""

from __future__ import annotations

import hashlib
import json
import zlib

import numpy as np
import pytest
from PIL import Image

import mnistzip
from support.paths import VECTORS

VALID = sorted(path.stem for path in (VECTORS / "valid").glob("*.cae"))
OWN = sorted(path.stem for path in (VECTORS / "own").glob("*.cae"))
AGREED = json.loads((VECTORS / "bare" / "agreed.json").read_text())
EXPECTED = json.loads((VECTORS / "invalid" / "expected.json").read_text())
ARCHIVES = json.loads((VECTORS / "archive" / "expected.json").read_text())
FAULTY_ARCHIVES = json.loads((VECTORS / "invalid-archive" / "expected.json").read_text())


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize("name", VALID)
def test_golden_files_decode_to_their_pixels(name: str) -> None:
    with Image.open(VECTORS / "valid" / f"{name}.pgm") as image:
        expected = np.asarray(image)
    assert (mnistzip.decode((VECTORS / "valid" / f"{name}.cae").read_bytes()) == expected).all()


@pytest.mark.usefixtures("each_engine")
def test_golden_files_decode_the_same_together() -> None:
    files = [(VECTORS / "valid" / f"{name}.cae").read_bytes() for name in VALID]
    for one, other in zip(mnistzip.decode_many(files), map(mnistzip.decode, files), strict=True):
        assert (one == other).all()


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize("name", AGREED)
def test_golden_bare_streams_decode_to_their_pixels(name: str) -> None:
    with Image.open(VECTORS / "bare" / f"{name}.pgm") as image:
        expected = np.asarray(image)
    stream = (VECTORS / "bare" / f"{name}.bare").read_bytes()
    output = AGREED[name] | {"shape": tuple(AGREED[name]["shape"])}
    assert (mnistzip.decode_bare(stream, **output) == expected).all()


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize("name", EXPECTED)
def test_faults_are_named(name: str) -> None:
    with pytest.raises(mnistzip.MnistzipError) as caught:
        mnistzip.decode((VECTORS / "invalid" / f"{name}.cae").read_bytes())
    assert type(caught.value).__name__ == EXPECTED[name]["error"]
    assert EXPECTED[name]["says"] in str(caught.value)


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize("name", ARCHIVES)
def test_golden_archives_hold_what_they_held(name: str) -> None:
    output = ARCHIVES[name]
    with mnistzip.Archive(VECTORS / "archive" / f"{name}.cae") as archive:
        for images in (list(archive), [archive[k] for k in range(len(archive))]):
            assert [[image.shape[1], image.shape[0]] for image in images] == output["sizes"]
            assert [zlib.crc32(image.tobytes()) for image in images] == output["crc32"]
        assert archive.names == output["names"]
        assert (None if archive.labels is None else archive.labels.tolist()) == output["labels"]


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize("name", FAULTY_ARCHIVES)
def test_faults_of_archives_are_named(name: str) -> None:
    def read() -> None:
        archive = mnistzip.Archive(VECTORS / "invalid-archive" / f"{name}.cae")
        _ = [*archive], archive.names, archive.labels

    with pytest.raises(mnistzip.MnistzipError) as caught:
        read()
    assert type(caught.value).__name__ == FAULTY_ARCHIVES[name]["error"]
    assert FAULTY_ARCHIVES[name]["says"] in str(caught.value)


@pytest.mark.usefixtures("each_engine")
@pytest.mark.parametrize("name", OWN)
def test_golden_files_of_a_model_of_ones_own_decode_to_their_pixels(name: str) -> None:
    with Image.open(VECTORS / "own" / f"{name}.pgm") as image:
        expected = np.asarray(image)
    content = (VECTORS / "own" / f"{name}.cae").read_bytes()
    assert mnistzip.info(content).model == mnistzip.models.registry.find(VECTORS / "own" / "own.npz").fingerprint.hex()[:8]
    assert (mnistzip.decode(content, model=VECTORS / "own" / "own.npz") == expected).all()


def test_no_golden_file_ever_changes() -> None:
    listed = dict(reversed(line.split("  ")) for line in (VECTORS / "FROZEN").read_text().splitlines())
    golden = [path for kind in ("archive", "bare", "own", "valid") for path in (VECTORS / kind).iterdir()]
    result = {path.relative_to(VECTORS).as_posix(): path for path in golden if path.suffix != ".json"}
    assert set(result) == set(listed)
    for name, path in result.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name], name


def test_every_vector_is_listed_and_none_is_missing() -> None:
    assert {path.stem for path in (VECTORS / "invalid").glob("*.cae")} == set(EXPECTED)
    assert {path.stem for path in (VECTORS / "valid").glob("*.pgm")} == set(VALID)
    assert {path.stem for path in (VECTORS / "own").glob("*.pgm")} == set(OWN)
    assert {path.stem for path in (VECTORS / "bare").glob("*.bare")} == set(AGREED)
    assert {path.stem for path in (VECTORS / "archive").glob("*.cae")} == set(ARCHIVES)
    assert {path.stem for path in (VECTORS / "invalid-archive").glob("*.cae")} == set(FAULTY_ARCHIVES)
    assert len(VALID) >= 30
    assert len(OWN) >= 3
