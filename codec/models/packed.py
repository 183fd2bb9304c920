"""Packed models: prepared models in few bytes, for programs that fetch them, such as web pages.

``js/lib/models.js`` reads them.

A packed model is up to three files, because a decoder needs less than an encoder that searches:

| file | holds |
|---|---|
| ``NAME.model`` | all that lossy decoding, and encoding without a search, need |
| ``NAME.search.model`` | the gradients of the search |
| ``NAME.pixels.model`` | the pixel model, for images without loss or within a bound |

A model of the kind ``bitmap`` is one file, ``NAME.model``.

Each is a gzip stream of a line of JSON and the arrays of the prepared model that it adds (:mod:`mnistzip.models.prepared`). The
line lists them: offset in the prepared model, bytes of a number, number of rows, and how many numbers. An array with a row for
each quality is stored as differences from row to row. Numbers are stored as 2n, or -2n - 1 if negative, the low bytes of all of
them first, then the next ones. The first file makes a prepared model without a pixel model. The third one also has the first
record, which then says that there is one.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnistzip.models.model import Model
from mnistzip.models.prepared import Use, prepare_sections
from mnistzip.models.stored_models import ALIGNMENT, LAYOUT, PIXELS_FIELD, QUALITIES
from mnistzip.models.typical_quality import typical_bits, typical_psnr
from mnistzip.types import Mode

SIZE_FIELD = 2  # of the first record
SUFFIXES = {Use.CODING: ".model", Use.SEARCH: ".search.model", Use.PIXELS: ".pixels.model"}


def pack(model: Model) -> dict[str, bytes]:
    """The files of a packed model, by their suffixes.

    Example:
        >>> from mnistzip.models import packed, registry
        >>> sorted(packed.pack(registry.shipped("mnist-fast")))
        ['.model', '.pixels.model', '.search.model']
    """
    prepared, sections = prepare_sections(model, "little")
    arrays: dict[Use, list[tuple[int, NDArray[Any]]]] = {}
    offset = 0
    for use, values in sections:
        arrays.setdefault(use, []).append((offset, values))
        offset += values.nbytes + -values.nbytes % ALIGNMENT
    first = np.frombuffer(prepared, "<i4", len(sections[0].values))
    if Use.PIXELS in arrays:
        arrays[Use.CODING][0] = 0, _without_pixels(first, arrays[Use.PIXELS][0][0])
        arrays[Use.PIXELS].insert(0, (0, first))
    else:
        arrays[Use.CODING][0] = 0, first
    uses = [use.value for use in arrays]
    return {SUFFIXES[use]: _file(_head(model, use, uses, len(prepared)), some) for use, some in arrays.items()}


def _without_pixels(first: NDArray[Any], size: int) -> NDArray[Any]:
    """The first record of a prepared model that ends before its pixel model."""
    record = first.copy()
    record[SIZE_FIELD], record[PIXELS_FIELD] = size, 0
    return record


def _head(model: Model, use: Use, uses: list[str], size: int) -> dict[str, Any]:
    """What a program should know of a model before it uses it."""
    head: dict[str, Any] = {"mnistzip": "packed model", "layout": LAYOUT, "use": use.value}
    head["fingerprint"] = model.fingerprint.hex()
    if use is Use.CODING:
        head |= {
            "name": model.name,
            "number": model.number,
            "kind": _kind(model),
            "grey": model.is_grey,
            "uses": uses,
            "size": size,
        }
    if use is Use.CODING and model.number is None:
        head["tileLimits"] = [model.default_tile_limit(mode) for mode in Mode]
    elif use is Use.CODING and not model.is_bitmap:
        qualities = range(1, QUALITIES + 1)
        head["typicalBits"] = [typical_bits(model, quality) for quality in qualities]
        head["typicalPsnr"] = [typical_psnr(model.name, quality) for quality in qualities]
    return head


def _kind(model: Model) -> str:
    """What a model codes; readers of earlier versions know only whether it is grey."""
    return "tiles" if model.codes_tiles else "grey" if model.is_grey else "bitmap"


def _file(head: dict[str, Any], arrays: list[tuple[int, NDArray[Any]]]) -> bytes:
    entries = [[offset, values.itemsize, _rows(values), values.size] for offset, values in arrays]
    line = json.dumps(head | {"arrays": entries}, separators=(",", ":")).encode() + b"\n"
    return gzip.compress(line + b"".join(_packed(values) for _, values in arrays), mtime=0)


def _rows(values: NDArray[Any]) -> int:
    return QUALITIES if values.ndim > 1 and len(values) == QUALITIES else 1


def _packed(values: NDArray[Any]) -> bytes:
    """Numbers as an array stores them; they wrap around."""
    bits = 8 * values.itemsize - 1
    rows = values.reshape(_rows(values), -1)
    steps = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))
    folded = (steps << 1) ^ (steps >> bits)
    return folded.reshape(-1, 1).view(np.uint8).T.tobytes()
