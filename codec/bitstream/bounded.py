"""A bounded error: every pixel takes the nearest of a few grey levels.

With a largest error N these are 0, 2N + 1, 2 (2N + 1) and so on. If they leave white further than N away, 255 is the last one.
FORMAT.md section 11 specifies them.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from mnistzip.types import Pixels


def in_words(max_error: int) -> str:
    """What a bound promises, for messages."""
    return f"every pixel within {max_error} grey level{'s' * (max_error > 1)}"


def nearest(x: Pixels, max_error: int) -> Pixels:
    """The nearest grey levels that a bounded error leaves, none further than ``max_error``; ``x`` itself if that is 0.

    Example:
        >>> nearest(numpy.array([0, 4, 5, 255], numpy.uint8), 4).tolist()
        [0, 0, 9, 252]
    """
    return x if max_error == 0 else _nearest_levels(max_error)[x]


@cache
def _nearest_levels(max_error: int) -> Pixels:
    """The nearest grey level of each one, shape ``(256,)``; of two, the lower one."""
    levels = np.arange(0, 256, 2 * max_error + 1)
    if 255 - levels[-1] > max_error:
        levels = np.append(levels, 255)
    return levels[np.abs(np.arange(256)[:, None] - levels).argmin(axis=1)].astype(np.uint8)
