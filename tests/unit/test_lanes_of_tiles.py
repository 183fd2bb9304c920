"""Lanes that latents share: the same bytes and symbols however many lanes are coded together."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip.coding.latents import Latent
from mnistzip.coding.tile_latents import TILES as KIND
from mnistzip.engines.interface import Intervals
from mnistzip.engines.numpy_engine import NUMPY
from mnistzip.entropy import rans
from mnistzip.errors import FormatError
from mnistzip.models.latent_prior import SYMBOLS
from mnistzip.models.registry import Model, shipped

Ints = NDArray[np.int64]
TILES = [1, 2, 3, 4, 4, 16, 17, 1, 33, 4, 4, 4, 4]  # of each lane
PLACES = [b"place %d" % k for k in range(len(TILES))]
SIDE = 28


def encode_lanes(places: list[bytes], tiles: list[int], y: Ints, symbols: Intervals) -> list[bytes]:
    """Lanes of images of one tile each."""
    images = [Latent(y[k : k + 1], symbols.select(slice(k, k + 1))) for k in range(len(y))]
    ends = np.cumsum(tiles).tolist()
    lanes = [images[end - count : end] for end, count in zip(ends, tiles, strict=True)]
    return KIND.encode(places, lanes, in_lanes=True)


def decode_lanes(
    model: Model, quality: int, places: list[bytes], lanes: list[bytes], tiles: list[int]
) -> list[Ints | FormatError]:
    """The symbols of each lane, or its error."""
    shapes = [[(SIDE, SIDE)] * count for count in tiles]
    decoded = KIND.decode(model, places, lanes, shapes, [quality] * len(lanes), in_lanes=True)
    return [lane if isinstance(lane, FormatError) else np.concatenate(lane) for lane in decoded]


@pytest.fixture(scope="module")
def model() -> Model:
    return shipped("mnist")


@pytest.fixture(scope="module")
def y(model: Model, digits: NDArray[np.uint8]) -> Ints:
    count = sum(TILES)
    return model.transforms.analyse(np.tile(digits, (2, 1, 1))[:count], np.full(count, 49))


@pytest.fixture(scope="module")
def lanes(model: Model, y: Ints) -> list[bytes]:
    return encode_lanes(PLACES, TILES, y, NUMPY.latent_symbols(model, y, np.full(len(y), 49)))


def test_lanes_come_back_alone_and_together(model: Model, y: Ints, lanes: list[bytes]) -> None:
    assert len(lanes) > rans.FEW_STREAMS  # by numpy; one by one in plain integers
    expected = np.split(y, np.cumsum(TILES)[:-1])
    together = decode_lanes(model, 50, PLACES, lanes, TILES)
    for k, (symbols, other) in enumerate(zip(expected, together, strict=True)):
        alone = decode_lanes(model, 50, PLACES[k : k + 1], lanes[k : k + 1], TILES[k : k + 1])[0]
        assert isinstance(other, np.ndarray)
        assert isinstance(alone, np.ndarray)
        assert (other == symbols).all()
        assert (alone == symbols).all()
        intervals = NUMPY.latent_symbols(model, symbols, np.full(TILES[k], 49))
        assert encode_lanes(PLACES[k : k + 1], TILES[k : k + 1], symbols, intervals) == [lanes[k]]
        assert len(symbols) == TILES[k]


def test_a_lane_in_another_place_or_damaged_is_refused_and_the_others_are_not(model: Model, lanes: list[bytes]) -> None:
    for few in (3, len(lanes)):
        wrong = [lanes[1], lanes[0][:-1], *lanes[2:few]]
        out = decode_lanes(model, 50, PLACES[:few], wrong, TILES[:few])
        assert [isinstance(lane, FormatError) for lane in out] == [True, True, *[False] * (few - 2)]
    moved = decode_lanes(model, 50, [PLACES[4]], [lanes[3]], [TILES[3]])
    assert isinstance(moved[0], FormatError)
    for empty in (b"", b"\0abc"):
        assert isinstance(decode_lanes(model, 50, PLACES[:1], [empty], [1])[0], FormatError)


@pytest.mark.parametrize("flip", range(0, 400, 3))
def test_damage_is_seen_the_same_alone_and_together(flip: int, model: Model, lanes: list[bytes]) -> None:
    lane = bytearray(lanes[3])
    lane[flip // 8 % len(lane)] ^= 1 << flip % 8
    alone = decode_lanes(model, 50, [PLACES[3]], [bytes(lane)], [TILES[3]])[0]
    together = decode_lanes(model, 50, PLACES, [*lanes[:3], bytes(lane), *lanes[4:]], TILES)[3]
    assert isinstance(alone, FormatError)
    assert isinstance(together, FormatError)


def test_a_lane_costs_its_check_once(model: Model, y: Ints, lanes: list[bytes]) -> None:
    first = sum(TILES[:3])
    freqs = model.prior.intervals(y[first : first + 4], np.full(4, 49))[1]
    assert freqs.shape == (4, SYMBOLS)
    ideal = (16 * freqs.size - np.log2(freqs).sum()) / 8
    assert ideal < len(lanes[3]) < ideal + 4
