"""Many items in parts, and work on them in several threads. The native engine lets other threads run while it computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, copy_context
from itertools import chain
from threading import Event
from typing import TYPE_CHECKING, Generic, TypeVar

from mnistzip.errors import require_within

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

THREADS_MAX = 1 << 10
PARTS_PER_THREAD = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


def require_threads(threads: int) -> None:
    """Raise :class:`~mnistzip.errors.OptionError` unless this is a number of threads."""
    require_within("threads", threads, 1, THREADS_MAX)


class StoppedError(Exception):
    """Nobody waits for the result of this thread any more."""


_stop: ContextVar[Event | None] = ContextVar("mnistzip stop", default=None)  # set once nobody waits


def go_on() -> None:
    """Raise :class:`StoppedError` in a thread whose result nobody waits for; long work calls it now and then."""
    stop = _stop.get()
    if stop is not None and stop.is_set():
        raise StoppedError


class OrderedPool(Generic[Item, Result]):
    """Threads that work on items. The results come in the order of the items.

    Args:
        work: it runs in the context of the caller.
        threads: how many items are worked on at the same time. One thread is that of the caller.
    """

    def __init__(self, work: Callable[[Item], Result], threads: int) -> None:
        self._work = work
        self._threads = threads
        self._stop = Event()
        self._waiting: deque[Future[Result]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        if threads > 1:
            from concurrent.futures import ThreadPoolExecutor  # slow to import, and one thread does not need it

            self._pool = ThreadPoolExecutor(threads)

    def submit(self, item: Item) -> Iterator[Result]:
        """Queue an item, and give the results that are due: all but a few."""
        if self._pool is None:
            yield self._work(item)
            return
        context = copy_context()
        context.run(_stop.set, self._stop)
        self._waiting.append(self._pool.submit(context.run, self._work, item))
        if len(self._waiting) > self._threads:
            yield self._waiting.popleft().result()

    def finish(self) -> Iterator[Result]:
        """Give the results that are left, and end."""
        while self._waiting:
            yield self._waiting.popleft().result()
        self.cancel()

    def cancel(self) -> None:
        """Drop what is left, and end. Work that calls :func:`go_on` does not run to its end."""
        self._stop.set()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """The results of work on items, in their order. Items are taken only as far ahead as the threads need.

    Args:
        work, threads: as for :class:`OrderedPool`.
        items: if they raise an error, it is raised after the results of the items before it.
    """
    pool = OrderedPool(work, threads)
    iterator, failure = iter(items), None
    try:
        while failure is None:
            try:
                item = next(iterator)
            except StopIteration:
                break
            except Exception as error:
                failure = error
            else:
                yield from pool.submit(item)
        yield from pool.finish()
        if failure is not None:
            raise failure
    finally:
        pool.cancel()


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
