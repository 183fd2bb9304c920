"""numpy keeps to one thread while images are coded, and only then."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import mnistzip
from mnistzip.engines import choice
from mnistzip.nn import blas_threads
from mnistzip.nn.blas_threads import OneThread, one_thread
from mnistzip.types import Pixels


class Library:
    """A library of products that uses so many threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.calls: list[int] = []

    def set(self, threads: int) -> None:
        self.threads = threads
        self.calls.append(threads)

    def limit(self) -> OneThread:
        return OneThread(lambda: (lambda: self.threads, self.set))


def test_the_number_of_threads_is_as_before_once_coding_ends() -> None:
    library = Library(8)
    limit = library.limit()
    for _ in range(2):
        with limit, limit:
            assert library.threads == 1
        assert library.threads == 8
    with pytest.raises(ZeroDivisionError), limit:
        raise ZeroDivisionError
    assert library.calls == [1, 8] * 3


def test_threads_that_overlap_leave_the_number_as_it_was() -> None:
    library = Library(8)
    limit = library.limit()
    first_is_in, second_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()
    seen: list[int] = []

    def first() -> None:
        with limit:
            first_is_in.set()
            assert second_is_in.wait(30)
        first_is_out.set()

    def second() -> None:
        assert first_is_in.wait(30)
        with limit:
            second_is_in.set()
            assert first_is_out.wait(30)
            seen.append(library.threads)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result()
    assert seen == [1]
    assert library.threads == 8


def test_what_the_caller_sets_meanwhile_stays() -> None:
    library = Library(8)
    with library.limit():
        library.threads = 3
    assert library.threads == 3


def test_one_thread_stays_one_without_a_call() -> None:
    library = Library(1)
    with library.limit():
        pass
    assert not library.calls


def test_coding_works_where_nothing_can_be_set(digits: Pixels) -> None:
    def broken() -> Any:
        raise OSError("no such library")

    for find in (broken, lambda: None):
        limit = OneThread(find)
        with limit, limit:
            file = mnistzip.encode(digits[0])
        assert file == mnistzip.encode(digits[0])


def test_a_child_forked_while_another_thread_is_coding_gets_its_threads_back() -> None:
    library = Library(8)
    limit = library.limit()
    limit.__enter__()  # by a thread that the child does not have
    limit._lock.acquire()
    limit._reset()  # what a fork does in the child
    with limit:
        assert library.threads == 1
    assert library.threads == 8


@pytest.fixture
def openblas() -> Iterator[tuple[blas_threads.Getter, blas_threads.Setter]]:
    """The real library with two threads."""
    functions = blas_threads.find_functions()
    if functions is None:
        pytest.skip("numpy does not use OpenBLAS here")
    getter, setter = functions
    before = getter()
    setter(2)
    yield functions
    setter(before)


@pytest.fixture
def numpy_alone() -> Iterator[None]:
    """Compute with numpy, whose threads these tests are about."""
    with choice.use("numpy"):
        yield


@pytest.mark.usefixtures("numpy_alone")
def test_every_way_of_coding_uses_one_thread_and_gives_the_same(
    digits: Pixels, openblas: tuple[blas_threads.Getter, blas_threads.Setter], monkeypatch: pytest.MonkeyPatch
) -> None:
    getter, _ = openblas
    multiply = np.matmul
    used: list[int] = []

    def watched(*arguments: Any, **options: Any) -> Any:
        used.append(getter())
        return multiply(*arguments, **options)

    lossy, lossless = mnistzip.encode(digits[0], model="mnist"), mnistzip.encode(digits[0], model="mnist", lossless=True)
    bare = mnistzip.encode(digits[0], bare=True)
    packed = mnistzip.encode_archive(digits[:3], model="mnist")
    monkeypatch.setattr(np, "matmul", watched)
    for work, expected in (
        (lambda: mnistzip.encode(digits[0], model="mnist"), lossy),
        (lambda: mnistzip.encode(digits[0], model="mnist", lossless=True), lossless),
        (lambda: mnistzip.encode(digits[0], bare=True), bare),
        (lambda: mnistzip.encode_archive(digits[:3], model="mnist"), packed),
        (lambda: mnistzip.encode_archive(digits[:3], model="mnist", threads=2), packed),
        (lambda: mnistzip.decode(lossless).tobytes(), digits[0].tobytes()),
        (lambda: mnistzip.preview(lossless).shape, (28, 28)),
        (lambda: mnistzip.decode_bare(bare).tobytes(), mnistzip.decode_bare(bare).tobytes()),
        (lambda: bytes(mnistzip.Archive(packed)[1]), mnistzip.Archive(packed).read([1])[0].tobytes()),
        (lambda: next(iter(mnistzip.Archive(packed))).tobytes(), mnistzip.Archive(packed)[0].tobytes()),
    ):
        used.clear()
        assert work() == expected  # type: ignore[no-untyped-call]
        assert set(used) == {1}
        assert getter() == 2


@pytest.mark.usefixtures("numpy_alone")
def test_bytes_and_pixels_do_not_depend_on_the_number_of_threads(
    digits: Pixels, openblas: tuple[blas_threads.Getter, blas_threads.Setter], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = mnistzip.encode_many(digits[:8], effort=0)
    images = mnistzip.decode_many(files)
    monkeypatch.setattr(one_thread, "_functions", None)
    assert mnistzip.encode_many(digits[:8], effort=0) == files
    assert np.array_equal(mnistzip.decode_many(files), images)
