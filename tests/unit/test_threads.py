"""Work in several threads: its order, its errors, and its end where nobody waits."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import numpy as np
import pytest

import mnistzip
from mnistzip.engines.choice import current
from mnistzip.models.registry import shipped
from mnistzip.threads import OrderedPool, StoppedError, chunks, go_on, map_in_order, map_parts
from mnistzip.types import Pixels


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_and_before_the_error_of_the_items(threads: int) -> None:
    def items() -> Iterator[int]:
        yield from range(7)
        raise KeyError("8")

    results = map_in_order(lambda item: item * item, items(), threads)
    assert [next(results) for _ in range(7)] == [0, 1, 4, 9, 16, 25, 36]
    with pytest.raises(KeyError, match="8"):
        next(results)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [0, 1, 2, 39, 40, 41])
def test_parts_cover_all_items_once(threads: int, count: int) -> None:
    parts: list[slice] = []

    def work(part: slice) -> list[int]:
        parts.append(part)
        return list(range(count))[part]

    assert map_parts(work, count, threads, 6) == list(range(count))
    assert threads == 1 or all(part.stop - part.start <= 6 for part in parts)
    assert [k for part in chunks(count, 4) for k in range(part.start, part.stop)] == list(range(count))


def test_work_stops_where_nobody_waits_for_it() -> None:
    started, stopped = Event(), Event()

    def work(_: int) -> None:
        started.set()
        try:
            while True:
                go_on()
        except StoppedError:
            stopped.set()
            raise

    pool = OrderedPool(work, 2)
    assert list(pool.submit(0)) == []
    started.wait()
    pool.cancel()  # it waits for the threads
    assert stopped.is_set()
    go_on()  # here somebody waits


def test_a_search_stops_where_nobody_waits_for_it(digits: Pixels) -> None:
    engine, model = current(), shipped("mnist-fast")
    inside, quality_index = np.ones(digits.shape, bool), np.full(len(digits), 49)
    y = engine.first_latents(model, digits, inside, quality_index)
    limit = np.full(len(digits), 1 << 20)
    started = Event()

    def search(budget: bool) -> None:
        started.set()
        while True:
            if budget:
                engine.refine_to_budget(model, digits[:2], inside[:2], quality_index[:2], 1, limit[:2])
            else:
                engine.refine(model, digits[:2], inside[:2], y[:2], quality_index[:2], 1)

    for budget in (False, True):
        started.clear()
        pool = OrderedPool(search, 2)
        assert list(pool.submit(budget)) == []
        started.wait()
        pool.cancel()


@pytest.mark.parametrize("threads", [2, 3])
def test_files_and_images_do_not_depend_on_threads(threads: int, digits: Pixels) -> None:
    files = mnistzip.encode_many(digits, effort=0)
    assert mnistzip.encode_many(digits, effort=0, threads=threads) == files
    assert np.array_equal(mnistzip.decode_many(files, threads=threads), mnistzip.decode_many(files))
    with mnistzip.Archive(mnistzip.encode_archive(digits, effort=0)) as archive:
        assert np.array_equal(archive.read(range(9, 30), threads=threads), archive.read(range(9, 30)))
        parts = [image for part in archive.parts(threads=threads) for image in part.images]
        assert np.array_equal(parts, list(archive))


@pytest.mark.parametrize("threads", [1, 2])
def test_errors_number_images_of_all_parts(threads: int, digits: Pixels) -> None:
    images = [np.zeros((28, 28), np.uint8)] * 20 + [digits[0]]
    with pytest.raises(mnistzip.LimitError, match="image 20 takes"):
        mnistzip.encode_many(images, lossless=True, max_bytes=20, threads=threads)
    files = [*mnistzip.encode_many(images), b"no file"]
    with pytest.raises(mnistzip.FormatError, match="file 21"):
        mnistzip.decode_many(files, threads=threads)
    for work in (mnistzip.encode_many, mnistzip.decode_many):
        with pytest.raises(mnistzip.OptionError, match="threads"):
            work([], threads=0)  # type: ignore[operator]
