"""Many items in parts, and work on them in several threads. The native engine lets other threads run while it computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

from mnistzip.errors import require_within

if TYPE_CHECKING:
    from concurrent.futures import Future

THREADS_MAX = 1 << 10
PARTS_PER_THREAD = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


def require_threads(threads: int) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` unless this is a number of threads."""
    require_within("threads", threads, 1, THREADS_MAX)


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """The results of work on items, in their order. Items are taken only as far ahead as the threads need.

    Args:
        work: it runs in the context of the caller.
        items: if they raise an error, it is raised after the results of the items before it.
        threads: how many items are worked on at the same time.
    """
    if threads == 1:
        yield from map(work, items)
        return
    from concurrent.futures import ThreadPoolExecutor  # slow to import, and one thread does not need it

    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[Result]] = deque()
    iterator, failure = iter(items), None
    try:
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                break
            except Exception as error:
                failure = error
                break
            waiting.append(pool.submit(copy_context().run, work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if failure is not None:
            raise failure
    finally:
        pool.shutdown(cancel_futures=True)


def map_parts(work: Callable[[slice], list[Result]], count: int, threads: int, most: int) -> list[Result]:
    """The results of work on ``count`` items, in their order. One thread works on all at once.

    Args:
        work: the results of a part.
        threads: each works on a few parts, one after the other.
        most: items of a part.
    """
    if threads == 1:
        return work(slice(0, count))
    size = max(1, min(most, -(-count // (threads * PARTS_PER_THREAD))))
    return list(chain.from_iterable(map_in_order(work, chunks(count, size), threads)))


def chunks(count: int, size: int) -> Iterator[slice]:
    """Cut ``count`` items into slices of at most ``size``."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
