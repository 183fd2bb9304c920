"""The pixel model of the kind grey: lossless and bounded files, archives, limits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import mnistzip
from mnistzip.bitstream.bounded import nearest
from mnistzip.coding.lossless import decode_payloads, encode_payloads, pixel_symbols
from mnistzip.engines.choice import use
from mnistzip.entropy.cost import TOTAL
from mnistzip.errors import FormatError, LimitError
from mnistzip.limits import GREY_LANE_STEPS_MAX, GREY_STEPS_MAX
from mnistzip.models.grey.grey_pixels import REACH, ROW_STEPS, WINDOW, level_table
from mnistzip.models.registry import shipped
from mnistzip.models.slanted import margins, steps
from mnistzip.types import Mode, Pixels
from support.grey_models import pictures

UP, _ = margins(WINDOW)
LEVELS = [0, 1, 60, 61, 128, 250, 255]


def rough(random: np.random.Generator, count: int, height: int, width: int) -> list[Pixels]:
    """Slopes with noise, which no other method codes in fewer bytes."""
    rows, columns = np.mgrid[:height, :width]
    return [(k % 3 * rows + 2 * columns + random.normal(0, 6, rows.shape)).clip(0, 255).astype(np.uint8) for k in range(count)]


@pytest.mark.parametrize("shapes", [[(1, 1)], [(9, 7)], [(3, 20), (20, 3), (1, 5)]], ids=str)
def test_every_pixel_is_in_one_step_and_sees_only_earlier_ones(shapes: list[tuple[int, int]]) -> None:
    places, first = steps(shapes, ROW_STEPS)
    found = list(zip(places.image.tolist(), places.row.tolist(), places.column.tolist(), strict=True))
    assert sorted(found) == [
        (image, row, column) for image, (height, width) in enumerate(shapes) for row in range(height) for column in range(width)
    ]
    for start, end in zip(first[:-1].tolist(), first[1:].tolist(), strict=True):
        step = places.select(slice(start, end))
        assert len(set((step.column + ROW_STEPS * step.row).tolist())) == (end > start)
        assert (np.diff(step.image) >= 0).all()
    assert all(column + ROW_STEPS * row < 0 and -UP <= row <= 0 for row, column in WINDOW)
    assert len(REACH) == UP + 1


@settings(deadline=None, max_examples=25)
@given(
    arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.sampled_from(LEVELS)),
    st.sampled_from([0, 1, 5, 64]),
)
def test_any_image_comes_back_from_the_pixel_model_itself(image: Pixels, max_error: int) -> None:
    model, kept = shipped("grey"), nearest(image, max_error)
    payload = encode_payloads(model, [b"x"], [kept], pixel_symbols(model, [kept], max_error))
    out = decode_payloads(model, [b"x"], payload, [[(image.shape[0], image.shape[1])]], max_error)[0]
    assert isinstance(out, list)
    assert (out[0] == kept).all()
    assert isinstance(decode_payloads(model, [b"y"], payload, [[(image.shape[0], image.shape[1])]], max_error)[0], FormatError)


@pytest.mark.parametrize("max_error", [0, 3, 64])
def test_frequencies_are_positive_and_sum_to_the_total(max_error: int) -> None:
    model, image = shipped("grey").grey_pixels, pictures(np.random.default_rng(1), 1, 6, 7)
    seen = []

    def first_symbol(mixtures, image):  # type: ignore[no-untyped-def]
        edges = mixtures.edges()
        assert (edges[0] == 0).all()
        assert (edges[-1] == TOTAL).all()
        assert (np.diff(edges, axis=0) > 0).all()
        for slot in (0, 1, 30000, TOTAL - 1):
            symbol = mixtures.symbol_at(np.full(len(image), slot))
            start, freq = mixtures.interval(symbol)
            assert ((start <= slot) & (slot < start + freq)).all()
        seen.append(len(image))
        return np.arange(len(image)) % len(level_table(max_error)[0])

    model.decode([image[0].shape, (2, 3)], max_error, first_symbol)
    assert sum(seen) == 6 * 7 + 2 * 3


def test_pixels_that_come_later_change_nothing_that_was_coded_before() -> None:
    model, random = shipped("grey").grey_pixels, np.random.default_rng(2)
    x = pictures(random, 1, 12, 17)
    places, _ = steps([(12, 17)], ROW_STEPS)
    before = np.stack(model.intervals(x))[:, 0]
    for number in random.integers(0, 12 * 17, 8).tolist():
        changed = x.copy()
        changed[0, places.row[number], places.column[number]] ^= 255
        after = np.stack(model.intervals(changed))[:, 0]
        assert (after[:, :number] == before[:, :number]).all()
        assert (after[:, number] != before[:, number]).any()


def test_pictures_of_the_default_are_smaller_than_with_tiles() -> None:
    images = rough(np.random.default_rng(3), 3, 60, 70)
    whole = mnistzip.encode_many(images, lossless=True)
    tiles = mnistzip.encode_many(images, lossless=True, model="glyph")
    assert sum(map(len, whole)) < sum(map(len, tiles))
    assert {mnistzip.info(file).model for file in whole} == {"grey"}
    assert all((image == other).all() for image, other in zip(images, mnistzip.decode_many(whole), strict=True))


@pytest.mark.parametrize("engine", ["numpy", "native"])
def test_a_damaged_file_is_refused(engine: str) -> None:
    if engine == "native":
        pytest.importorskip("mnistzip._engine", reason="the extension is not built")
    image = pictures(np.random.default_rng(4), 1, 20, 30)[0]
    file = mnistzip.encode(image, lossless=True, model="grey")
    assert mnistzip.info(file).model == "grey"
    with use(engine):
        assert (mnistzip.decode(file) == image).all()
        for position in range(4, len(file), len(file) // 6):
            for damaged in (file[:position], file[:position] + bytes([file[position] ^ 16]) + file[position + 1 :]):
                with pytest.raises(FormatError):
                    mnistzip.decode(damaged)


def test_archives_share_streams_and_give_any_image() -> None:
    random = np.random.default_rng(5)
    images = [*rough(random, 129, 8, 8), *rough(random, 3, 5, 31), rough(random, 1, 70, 40)[0]]
    for options in ({"lossless": True}, {"max_error": 6}):
        content = mnistzip.encode_archive(images, model="grey", **options)
        files = mnistzip.encode_many(images, model="grey", **options)
        assert len(content) < sum(map(len, files))
        with mnistzip.Archive(content) as archive:
            for number in (132, 0, 130, 5):
                assert (archive[number] == nearest(images[number], options.get("max_error", 0))).all()


def test_previews_of_whole_images_are_exact() -> None:
    image = pictures(np.random.default_rng(6), 1, 20, 30)[0]
    assert (mnistzip.preview(mnistzip.encode(image, lossless=True, model="grey")) == image).all()


def test_images_of_too_many_steps_are_neither_chosen_nor_decoded_by_default() -> None:
    model, tall = shipped("grey"), (GREY_STEPS_MAX // 3 + 1, 2)
    image = pictures(np.random.default_rng(7), 1, *tall)[0]
    assert mnistzip.info(mnistzip.encode(image, lossless=True)).model != "grey"
    for mode in (Mode.LOSSLESS, Mode.BOUNDED):
        with pytest.raises(LimitError, match=f"{GREY_STEPS_MAX} steps.*max-pixels"):
            model.require_default_limit(mode, [tall])
        fitting = (GREY_STEPS_MAX // 3 - 1, 2)
        model.require_default_limit(mode, [fitting] * 20, per_lane=4)
        with pytest.raises(LimitError, match=f"{GREY_LANE_STEPS_MAX} steps"):
            model.require_default_limit(mode, [fitting] * 20, per_lane=5)
    model.require_default_limit(Mode.LOSSY, [tall])


def test_each_mode_names_the_model_by_its_own_fingerprint() -> None:
    """Lossy parts of archives keep the fingerprint that the model had without its pixel model."""
    images = rough(np.random.default_rng(8), 3, 16, 16)
    model = shipped("grey")
    lossy, exact = model.fingerprint_for(Mode.LOSSY), model.fingerprint_for(Mode.LOSSLESS)
    assert lossy != exact
    for options, fingerprint, other in (({}, lossy, exact), ({"lossless": True}, exact, lossy)):
        content = mnistzip.encode_archive(images, model="grey", **options)
        assert fingerprint in content
        assert other not in content
        assert len(mnistzip.Archive(content).read([0, 1, 2])) == 3
