"""Items in batches of limited size: what is coded together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

TILES_TOGETHER = 1024  # lossy tiles coded together: small enough for the processor's cache

Item = TypeVar("Item")


def batches(items: Iterable[Item], size: Callable[[Item], int], limit: int, count: int | None = None) -> Iterator[list[Item]]:
    """Cut items into batches, in order. The item with which a batch reaches a limit is its last.

    Args:
        items: taken only as batches are asked for.
        size: of an item.
        limit: of the sizes of a batch together.
        count: of the items of a batch.
    """
    batch: list[Item] = []
    total = 0
    for item in items:
        batch.append(item)
        total += size(item)
        if total >= limit or len(batch) == count:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch
