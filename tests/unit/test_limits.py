"""What takes long to decode is refused unasked, and taken where it is asked for: everywhere by the same option."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.bitstream.container import Header
from mnistzip.cli.main import run
from mnistzip.limits import DECODED_PIXELS_MAX, GROUP_PIXELS_MAX, MACS_MAX, PRIOR_VALUES_MAX
from mnistzip.models import registry
from mnistzip.plugins import pillow
from mnistzip.plugins.chunk_format import Chunk, ChunkOptions, join
from mnistzip.types import Mode, Pixels
from support import forge


@pytest.fixture
def large(digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> Pixels:
    """An image above the limits, which are lowered for it."""
    for mode in (Mode.LOSSY, Mode.LOSSLESS):
        monkeypatch.setitem(DECODED_PIXELS_MAX, mode, 1000)
    return np.hstack([digits[0], digits[1]])


@pytest.mark.parametrize("lossless", [False, True])
def test_commands_refuse_it_and_take_it_when_asked(
    lossless: bool, large: Pixels, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    png, packed = tmp_path / "x.png", tmp_path / "x.cae"
    Image.fromarray(large).save(png)
    for more in ([], ["-o", str(packed), "-f"]):  # a file, then an archive of one image
        inputs = [str(tmp_path)] if more else [str(png)]
        assert run(["compress", *inputs, *more, *(["--lossless"] if lossless else []), "-e", "0"]) == 0
        assert "larger than the default decode limit" in capsys.readouterr().err
        for command in (["decompress", packed, "-o", tmp_path / "back.png"], ["test", packed], ["show", packed]):
            words = [str(word) for word in command] + (["--index", "0"] if more and command[0] == "decompress" else [])
            capsys.readouterr()
            assert run(words) == 1
            assert "max-pixels" in capsys.readouterr().err
            assert run([*words, "--max-pixels", "2000"]) == 0, words
        (tmp_path / "back.png").unlink()
        if not more:
            assert run(["compare", str(png), str(packed)]) == 1
            assert run(["compare", str(png), str(packed), "--max-pixels", "2000"]) == 0


def test_plugins_read_what_they_wrote(large: Pixels, tmp_path: Path) -> None:
    with pytest.raises(mnistzip.LimitError, match="choose smaller chunks"):
        ChunkOptions(lossless=True).pack(large[None])
    chunk = join((1,), [mnistzip.encode(large, lossless=True)])
    with pytest.raises(mnistzip.LimitError, match="image 0 of the chunk: 56x28 is more than the limit"):
        Chunk.parse(chunk).unpack("mnist")
    path = tmp_path / "x.cae"
    Image.fromarray(large).save(path, lossless=True)
    with Image.open(path) as image, pytest.raises(OSError, match="limit of 1000 pixels"):
        image.load()
    with Image.open(path) as image:
        assert isinstance(image, pillow.CaeImageFile)
        image.load(max_pixels=2000)
        assert (np.asarray(image) == large).all()


def test_budgets_and_auto_are_not_in_its_way(large: Pixels) -> None:
    for how in ({"max_bytes": 60}, {"min_psnr": 20}, {"model": "auto"}, {"model": "auto", "lossless": True}):
        file = mnistzip.encode(large, effort=0, **how)
        assert mnistzip.decode(file, max_pixels=2000).shape == large.shape


def test_lanes_and_groups_are_limited(digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = mnistzip.encode_archive(digits[:6], effort=0, model="mnist")  # lanes of 4
    for limits, mode, says in (
        (DECODED_PIXELS_MAX, Mode.LOSSY, "3136 pixels in a lane, more than the limit of 1568"),
        (GROUP_PIXELS_MAX, Mode.LOSSY, "4704 pixels, more than the limit of 1568"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(limits, mode, 2 * 784)
            with pytest.raises(mnistzip.LimitError, match=says):
                mnistzip.Archive(archive)[0]
            assert len(mnistzip.Archive(archive, max_pixels=6 * 784)[:]) == 6
    monkeypatch.setattr("mnistzip.archive.writer.GROUP_PIXELS", 2 * 784)
    grouped = mnistzip.Archive(mnistzip.encode_archive(digits[:5], effort=0, model="mnist"))
    assert [grouped.group_of(k) for k in (0, 2, 4)] == [range(2), range(2, 4), range(4, 5)]
    assert len(grouped[:]) == 5


def test_many_small_images_are_limited_by_their_tiles(digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    small = [digit[4:24, 4:24] for digit in digits[:6]]
    archive = mnistzip.encode_archive(small, lossless=True)
    noise = np.random.default_rng(0).integers(0, 256, (6, 9, 9)).astype(np.uint8)
    stored = mnistzip.encode_archive(noise, lossless=True)
    monkeypatch.setitem(GROUP_PIXELS_MAX, Mode.LOSSY, 4 * 784)
    with pytest.raises(mnistzip.LimitError, match="4704 pixels in whole tiles, more than the limit of 3136"):
        mnistzip.Archive(archive)[0]
    assert len(mnistzip.Archive(archive, max_pixels=6 * 784)[:]) == 6
    assert len(mnistzip.Archive(stored)[:]) == 6
    monkeypatch.setattr("mnistzip.archive.writer.GROUP_TILES", 4)
    assert mnistzip.Archive(mnistzip.encode_archive(small, lossless=True)).group_of(0) == range(4)


def test_a_model_that_is_too_slow_is_refused_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = registry.read_model(forge.restless(95, 40), "slow")
    most = slow.default_tile_limit(Mode.LOSSY)
    assert 20 < most < 300
    fits, large = (
        Header(Mode.LOSSY, 28, 28 * tiles, model=slow.named, quality=9).to_bytes() + b"x" for tiles in (most, most + 1)
    )
    for data, error, says in ((fits, mnistzip.FormatError, "damaged|cut short"), (large, mnistzip.LimitError, "--max-pixels")):
        with pytest.raises(error, match=says):
            mnistzip.decode(data, model=slow)
    with pytest.raises(mnistzip.FormatError, match=r"damaged|cut short"):
        mnistzip.decode(large, model=slow, max_pixels=1 << 20)
    group = forge.group(
        method=Mode.LOSSY,
        model=15,
        quality=9,
        fingerprint=slow.fingerprint,
        images=most + 1,
        width=28,
        height=28,
        per_lane=most + 1,
    )
    content = forge.archive([group], [0, most + 1], model=slow.content, embedded=True)
    with mnistzip.Archive(content) as archive, pytest.raises(mnistzip.LimitError, match="--max-pixels"):
        archive[0]
    with mnistzip.Archive(content, max_pixels=1 << 20) as archive, pytest.raises(mnistzip.FormatError, match="damaged"):
        archive[0]
    wide = registry.read_model(forge.wide_pixels(512), "wide")
    monkeypatch.setitem(MACS_MAX, Mode.LOSSLESS, wide.default_tile_limit(Mode.LOSSLESS))
    saved = Header(Mode.LOSSLESS, 28, 28, model=wide.named).to_bytes() + b"x"
    for decode in (mnistzip.decode, mnistzip.preview):
        with pytest.raises(mnistzip.LimitError, match="too large for 1 tiles"):
            decode(saved, model=wide)


@pytest.mark.parametrize("lossless", [False, True])
def test_what_a_large_model_packs_it_reads_unasked(lossless: bool, digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    own = registry.read_model(registry.shipped("glyph").content, "own")
    mode = Mode.LOSSLESS if lossless else Mode.LOSSY
    monkeypatch.setitem(MACS_MAX, mode, MACS_MAX[mode] * 10 // own.default_tile_limit(mode))
    archive = mnistzip.Archive(mnistzip.encode_archive(digits[:25], model=own, effort=0, lossless=lossless), model=own)
    assert [len(archive.group_of(k)) for k in (0, 24)] in ([10, 5], [9, 7])
    assert len(archive[:]) == 25


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: forge.wide(1, 700, 28), "more than 131072 numbers"),
        (lambda: forge.wide(1, 20, 28, 7), "gathers 768320 numbers"),
        (lambda: forge.wide_pixels(513), "pixels.ink.0: the shape"),
        (
            lambda: forge.model(
                [forge.conv("made", np.ones((4, 9), np.int8))[0]] * 2, forge.conv("made", np.ones((4, 9), np.int8))[1]
            ),
            "two layers are named 'made'",
        ),
        (lambda: forge.model([{"op": "residual", "layers": [], "to": [0, 1]}]), "a layer with no layers inside"),
        (lambda: forge.model(arrays={"meta": np.full(1 << 16, 32, np.uint8)}), "larger than a model file allows"),
        (lambda: forge.model(arrays={"prior.near_weight": np.zeros((196, 49 * 84), np.int8)}), "prior: the shape"),
    ],
)
def test_a_model_that_would_take_much_memory_is_refused(content: Callable[[], bytes], says: str) -> None:
    with pytest.raises(mnistzip.ModelError, match=says):
        registry.read_model(content(), "large")


def test_wide_alphabets_and_priors_decode_less_unasked() -> None:
    plain = registry.read_model(forge.model(), "plain").default_tile_limit(Mode.LOSSY)
    wide = registry.read_model(forge.wide_prior(60, 20), "wide")
    assert wide.default_tile_limit(Mode.LOSSY) * (2 * 49 * 60 + 196 * 20) <= PRIOR_VALUES_MAX
    assert wide.default_tile_limit(Mode.LOSSY) < plain


def test_a_large_image_leaves_the_others_of_its_archive_readable(digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DECODED_PIXELS_MAX, Mode.LOSSLESS, 1000)
    images = [digits[0], np.hstack([digits[1], digits[2]]), digits[3]]
    archive = mnistzip.Archive(mnistzip.encode_archive(images, lossless=True))
    assert (archive[0] == digits[0]).all()
    assert (archive[2] == digits[3]).all()
    with pytest.raises(mnistzip.LimitError):
        archive[1]


def test_names_that_would_swell_are_not_held_at_once(digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = mnistzip.Archive(mnistzip.encode_archive([digits[0]] * 50, names=["x"] * 50, effort=0))
    assert archive.names == ["x"] * 50
    monkeypatch.setattr("mnistzip.archive.reader.NAMES_MEMORY", 100)
    assert archive.names == ["x"] * 50  # no more than such an archive may have
    monkeypatch.setattr("mnistzip.archive.reader.NAMES_EXPANSION", 1)
    with pytest.raises(mnistzip.LimitError, match="names_between"):
        _ = archive.names
    assert archive.names_between(3, 5) == ["x", "x"]
