"""The pixel model: every pixel comes back. Tests against the trained networks are in training/test_pixel_model.py."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

import mnistzip
from mnistzip.coding.lossless import decode_payloads, encode_payloads, pixel_symbols
from mnistzip.errors import ModelError
from mnistzip.models.pixel.pixel_model import PixelModel
from mnistzip.models.pixel.planes import ORDER, PADDED_INDEX, SEEN_AS, STEP, STRIDE, TILE_PIXELS, VIEWS, Plane
from mnistzip.models.registry import Model, shipped
from mnistzip.types import Pixels

GREYS = [0, 0, 0, 1, 7, 249, 250, 255]


def pixels_of(model: Model) -> PixelModel:
    return model.pixels


def everywhere(images: Pixels) -> NDArray[np.bool_]:
    return np.ones((len(images), TILE_PIXELS), bool)


@settings(deadline=None, max_examples=40)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.sampled_from(GREYS)))
def test_any_image_comes_back_from_the_pixel_model_itself(image: Pixels) -> None:
    model = shipped("mnist")
    payload = encode_payloads(model, [b"x"], [image], pixel_symbols(model, [image]))
    out = decode_payloads(model, [b"x"], payload, [[(image.shape[0], image.shape[1])]])[0]
    assert isinstance(out, list)
    assert (out[0] == image).all()


def test_what_comes_later_changes_nothing_that_was_coded_before(digits: Pixels) -> None:
    """Whoever breaks this cannot decode: the encoder would know what the decoder does not."""
    model = pixels_of(shipped("mnist"))
    rng = np.random.default_rng(5)
    x = digits[:16].copy()
    before = model.intervals(x, everywhere(x))
    for k, number in enumerate(rng.integers(200, TILE_PIXELS, 16)):
        late = ORDER[number:]
        flat = x[k].reshape(-1)
        grey = flat[late]
        solid, ink = grey >= 250, grey > 0
        flat[late] = np.where(solid, 250 + (grey + 1) % 6, np.where(ink, ((grey - 1) // 32) * 32 + 1 + (grey + 3) % 25, 0))
    after = model.intervals(x, everywhere(x))
    assert (before.tile == after.tile).all()  # only shades were changed
    first = [STEP[ORDER[number]] for number in np.random.default_rng(5).integers(200, TILE_PIXELS, 16)]
    early = (before.plane < Plane.SHADE) | (before.step < np.array(first)[before.tile])
    for old, new in zip(before, after, strict=True):
        assert (old[early] == new[early]).all()
    assert (before.freq != after.freq).any()


def test_views_are_causal() -> None:
    """Of its own plane a pixel sees only earlier steps."""
    row, column = np.divmod(np.arange(TILE_PIXELS), 28)
    at = {place: pixel for pixel, place in enumerate(PADDED_INDEX.tolist())}
    for plane, views in VIEWS.items():
        own = [view for view in views if view.plane is plane]
        assert len(own) == 1
        for pixel in (0, 27, 400, 783):
            around = PADDED_INDEX[pixel] + own[0].window
            seen = [at[index] for index in around.tolist() if index in at]
            assert (STEP[seen] < STEP[pixel]).all()
            near = (np.abs(row[seen] - row[pixel]) <= 8) & (np.abs(column[seen] - column[pixel]) <= 7)
            assert near.all()  # nobody sees across the edge of a tile
    assert STRIDE - 28 >= 2 * 8
    assert (SEEN_AS[Plane.INK] == np.array([0, *[1] * 255])).all()


def test_lossless_never_takes_more_than_raw_or_zlib_and_eight_bytes(digits: Pixels) -> None:
    rng = np.random.default_rng(0)
    smooth = (np.add.outer(np.arange(60), np.arange(80)) + rng.integers(0, 3, (60, 80))).astype(np.uint8)
    noise, white = rng.integers(0, 256, (28, 28), dtype=np.uint8), np.full((28, 28), 255, np.uint8)
    images = [noise, smooth, white, digits[0].T, 255 - digits[1]]
    for image in images:
        file = mnistzip.encode(image, lossless=True)
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.writestr("x", image.tobytes())
        with zipfile.ZipFile(packed) as archive:
            deflated = archive.getinfo("x").compress_size
        assert len(file) <= min(image.size, deflated) + 8
        assert (mnistzip.decode(file) == image).all()


def test_a_model_without_pixels_still_keeps_them(digits: Pixels) -> None:
    file = mnistzip.encode(digits[0], lossless=True, model="classic")
    assert (mnistzip.decode(file) == digits[0]).all()
    claimed = b"\xca\xe1\x91" + file[3:]
    with pytest.raises(ModelError, match="classic, which has none"):
        mnistzip.decode(claimed)


def test_a_preview_shows_every_pixel_in_its_range(digits: Pixels) -> None:
    wide = np.hstack(list(digits[:18]))  # two streams
    for image in (digits[4], wide[:40, 3:]):
        shown = mnistzip.preview(mnistzip.encode(image, lossless=True))
        assert ((shown == 0) == (image == 0)).all()
        assert ((shown >= 250) == (image >= 250)).all()
        assert np.abs(shown.astype(int) - image).max() <= 16
    lossy = mnistzip.encode(digits[4])
    assert (mnistzip.preview(lossy) == mnistzip.decode(lossy)).all()
