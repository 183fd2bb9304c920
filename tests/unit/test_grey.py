"""Models of the kind grey: files, lanes, bare streams and budgets of pictures of any size, by numpy's engine."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

import mnistzip
from mnistzip.bitstream import container
from mnistzip.coding import image_files, model_choice
from mnistzip.coding.grey_latents import WHOLE_IMAGES
from mnistzip.engines.choice import use
from mnistzip.engines.numpy_engine import NUMPY
from mnistzip.engines.reference import grey_search
from mnistzip.errors import FormatError, LimitError, ModelError
from mnistzip.metrics import psnr
from mnistzip.models import model as model_module
from mnistzip.models.grey.coding_order import steps
from mnistzip.models.grey.distribution import Distributions
from mnistzip.models.registry import Model, read_model
from mnistzip.nn.operations import im2col, scatter_convolve
from mnistzip.types import Mode, Pixels
from support.grey_models import pictures, plain_grey_file, plain_grey_model
from support.random_models import model_file

SIZES = [(1, 1), (1, 9), (5, 3), (16, 16), (28, 30)]


@pytest.fixture(scope="module")
def model() -> Model:
    return plain_grey_model()


@pytest.fixture(autouse=True)
def _numpy():  # type: ignore[no-untyped-def]
    with use("numpy"):
        yield


def images() -> list[Pixels]:
    random = np.random.default_rng(1)
    return [pictures(random, 1, *size)[0] for size in SIZES]


def smooth(height: int, width: int) -> Pixels:
    """A picture that lossy coding suits."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(7).normal(0, 6, (height, width))
    return np.clip(128 + 80 * np.sin(rows / 5) * np.cos(columns / 7) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 2), (7, 7), (16, 17), (33, 5)])
def test_every_position_is_in_one_step_and_sees_only_earlier_ones(size: tuple[int, int]) -> None:
    order = np.full(size, -1)
    for number, step in enumerate(steps(*size)):
        assert (order[step.rows, step.columns] == -1).all()
        seen = np.where(order >= 0, 1, 9).astype(np.float32)[None, :, :, None]  # 9: not yet known
        if step.neighbours:
            gathered = step.gather(seen)
            assert gathered.shape[1:3] == order[step.rows, step.columns].shape
            assert gathered.max() == 1
            assert (gathered.sum(axis=(0, 3)) >= 1).all()
        order[step.rows, step.columns] = number
    assert (order >= 0).all()


def test_frequencies_are_positive_and_sum_to_the_total(model: Model) -> None:
    random = np.random.default_rng(2)
    for bound in (1, 2, 127):
        mean, scale = random.integers(-(127 << 8), 128 << 8, 200), random.integers(0, 64, 200)
        distributions = Distributions(model.grey.prior.shape, mean, scale, bound)
        edges = distributions.edges()
        assert (edges[0] == 0).all()
        assert (edges[-1] == 1 << 16).all()
        assert (np.diff(edges, axis=0) >= 1).all()
        slots = random.integers(0, 1 << 16, 200)
        found = distributions.symbol_at(slots)
        start, freq = distributions.interval(found)
        assert ((start <= slots) & (slots < start + freq)).all()


@pytest.mark.parametrize(("quality", "effort"), [(1, 0), (50, 1), (100, 0)])
def test_files_of_any_size_come_back(model: Model, quality: int, effort: int) -> None:
    originals = images()
    files = mnistzip.encode_many(originals, model=model, quality=quality, effort=effort)
    decoded = mnistzip.decode_many(files, model=model)
    alone = [mnistzip.decode(file, model=model) for file in files]
    for image, file, together, single in zip(originals, files, decoded, alone, strict=True):
        assert together.shape == image.shape
        assert (together == single).all()
        assert file == mnistzip.encode(image, model=model, quality=quality, effort=effort)


def test_better_qualities_give_better_pictures(model: Model) -> None:
    image = smooth(12, 18)
    found = [psnr(image, mnistzip.decode(mnistzip.encode(image, model=model, quality=q), model=model)) for q in (1, 60, 100)]
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize("quality", [20, 80])
def test_a_longer_search_costs_less(model: Model, quality: int) -> None:
    x = smooth(10, 12)
    index, lmbda = quality - 1, int(model.lmbda[quality - 1])
    first = NUMPY.analyse_images(model, x[None], index)[0]
    costs = []
    for effort in (0, 1, 3, 5):
        y = NUMPY.refine_image(model, x, first, index, effort)
        assert (np.abs(y) <= model.grey.prior.bounds[index]).all()
        costs.append(grey_search.cost(model.grey, x, y, index, lmbda))
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]


def test_damage_is_found(model: Model) -> None:
    file = mnistzip.encode(smooth(20, 24), model=model, quality=20)
    header, _ = container.parse(file)
    assert header.mode is Mode.LOSSY
    start = len(header.to_bytes())
    for position in range(start, len(file), 3):
        damaged = bytearray(file)
        damaged[position] ^= 16
        with pytest.raises(FormatError):
            mnistzip.decode(bytes(damaged), model=model)
    for cut in (start, start + 1, len(file) - 1):
        with pytest.raises(FormatError):
            mnistzip.decode(file[:cut], model=model)


def test_lanes_hold_several_images(model: Model) -> None:
    originals = images()
    latents = WHOLE_IMAGES.images(originals).first(model, [50] * len(originals))
    lanes = [latents[:2], latents[2:3], latents[3:]]
    shapes = [[(image.shape[0], image.shape[1]) for image in part] for part in (originals[:2], originals[2:3], originals[3:])]
    seeds = [b"a", b"b", b"c"]
    payloads = WHOLE_IMAGES.encode(seeds, lanes, in_lanes=True)
    decoded = WHOLE_IMAGES.decode(model, seeds, payloads, shapes, [50] * 3, in_lanes=True)
    for lane, symbols in zip(lanes, decoded, strict=True):
        assert not isinstance(symbols, FormatError)
        assert all((latent.y == y).all() for latent, y in zip(lane, symbols, strict=True))
    moved = WHOLE_IMAGES.decode(model, ["abc"[k].encode() for k in (1, 0, 2)], payloads, shapes, [50] * 3, in_lanes=True)
    assert [isinstance(symbols, FormatError) for symbols in moved] == [True, True, False]
    assert isinstance(WHOLE_IMAGES.decode(model, [b"a"], [b""], shapes[:1], [50])[0], FormatError)


def test_archives_give_any_image(model: Model) -> None:
    originals = images() * 3
    data = mnistzip.encode_archive(originals, model=model, quality=70, effort=1, embed_model=True)
    archive = mnistzip.Archive(data)
    singles = [mnistzip.encode(image, model=model, quality=70, effort=1) for image in originals]
    for k in (0, 7, len(originals) - 1):
        header, _ = container.parse(singles[k])
        if header.mode is Mode.LOSSY:
            assert (archive[k] == mnistzip.decode(singles[k], model=model)).all()
        else:
            assert archive[k].shape == originals[k].shape


def test_bare_streams_and_their_budgets(model: Model) -> None:
    image = smooth(16, 16)
    stream = mnistzip.encode(image, model=model, quality=50, bare=True, effort=1)
    decoded = mnistzip.decode_bare(stream, model=model, quality=50, shape=image.shape)
    assert decoded.shape == image.shape
    budget = len(stream) * 9 // 10
    smaller = mnistzip.encode(image, model=model, quality=50, bare=True, effort=2, max_bytes=budget)
    assert len(smaller) <= budget
    assert mnistzip.decode_bare(smaller, model=model, quality=50, shape=image.shape).shape == image.shape


def test_budgets_of_files(model: Model) -> None:
    image = smooth(16, 20)
    small = mnistzip.encode(image, model=model, max_bytes=150, effort=0)
    assert len(small) <= 150
    good = mnistzip.encode(image, model=model, min_psnr=30, effort=0)
    assert psnr(image, mnistzip.decode(good, model=model)) >= 30


def test_a_model_file_that_does_not_fit_is_refused(model: Model) -> None:
    from support import forge

    content = plain_grey_file()
    assert read_model(content, "plain").is_grey
    for array, value in (
        ("prior.cumulative", 70000),
        ("prior.inverse_scale", 0),
        ("bounds", 128),
        ("curvature", 0),
        ("prior.1.within", None),
        ("prior.2.around", 1 << 20),
    ):
        with pytest.raises(ModelError):
            read_model(forge.with_changed_array(content, array, value), "changed")


def test_large_images_are_refused_by_default_and_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    image = smooth(24, 30)
    file = mnistzip.encode(image, model="grey", effort=0)
    assert mnistzip.info(file).model == "grey"
    for module in (model_choice, image_files, model_module):
        monkeypatch.setattr(module, "GREY_PIXELS_MAX", image.size - 1)
    with pytest.raises(LimitError, match="max_pixels"):
        mnistzip.decode(file)
    assert mnistzip.decode(file, max_pixels=image.size).shape == image.shape
    for options in ({}, {"max_bytes": 200}, {"min_psnr": 24}):
        info = mnistzip.info(mnistzip.encode(image, effort=0, **options))
        assert (info.mode, info.model) != ("lossy", "grey")


def test_a_bias_per_position_is_refused() -> None:
    with np.load(io.BytesIO(plain_grey_file())) as arrays:
        changed = {key: arrays[key].astype(np.int64) for key in arrays.files if key != "meta"}
        meta = json.loads(arrays["meta"].tobytes())
    place = changed["middle.place"]
    changed["middle.place"] = np.broadcast_to(place, (7, 7, place.shape[-1]))
    with pytest.raises(ModelError, match="does not fit"):
        read_model(model_file(meta, changed), "biased")


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 5)])
def test_convolutions_of_few_outputs_take_small_arrays(kernel: int, size: tuple[int, int]) -> None:
    random = np.random.default_rng(8)
    x = random.integers(-9, 10, (2, *size, 16)).astype(np.float32)
    weight = random.integers(-9, 10, (kernel**2 * 16, 1)).astype(np.float32)
    gathered = (im2col(x, kernel) @ weight).reshape(2, *size, 1)
    assert (scatter_convolve(x, weight, kernel) == gathered).all()
