"""The model file of the kind ``bitmap``: arrays and description to a checked model."""

from __future__ import annotations

import numpy as np

from mnistzip.models.bitmap.bitmap_model import BitmapModel
from mnistzip.models.model_file import BITMAP, READ_ERRORS, ArrayReader, damaged, description, read_arrays, require_keys
from mnistzip.types import Floats


def read_bitmap_model(content: bytes, name: str) -> BitmapModel:
    """The model of a model file.

    Raises:
        ModelError: it is no model file, or not for this version, or damaged, or its sums are not provably exact.
    """
    arrays, _ = read_arrays(content, name)
    try:
        meta = description(arrays["meta"], name)
        require_keys(meta, {"version", "kind"})
        if meta["kind"] != BITMAP:
            raise ValueError(f"it is of the kind {meta['kind']!r}")
        reader = ArrayReader(arrays, name)
        enter = reader.affine("enter")
        model = BitmapModel(
            sides=reader.array("sides", 1).astype(np.int64),
            differences=reader.array("differences", 2).astype(np.int64),
            shifts=reader.array("shifts", 1).astype(np.int64),
            enter=enter,
            edges=_in_units(reader.array("enter.edges", 3), enter.unit),
            sizes=_in_units(reader.array("enter.sizes", 3), enter.unit),
            middle=(reader.affine("0"), reader.affine("1")),
            head=reader.affine("head"),
        )
    except READ_ERRORS as cause:
        raise damaged(name, repr(cause)) from cause
    model.check_exact()
    reader.require_all_used({"meta"})
    return model


def _in_units(table: Floats, unit: Floats) -> Floats:
    """What is added to a bias, as multiples of the unit of each output."""
    values: Floats = table * unit
    return values
