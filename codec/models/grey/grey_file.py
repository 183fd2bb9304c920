"""The part of a model file of the kind ``grey``: arrays and description to checked networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mnistzip.models.grey.distribution import Shape
from mnistzip.models.grey.grey_model import GreyModel
from mnistzip.models.grey.prior import GROUPS, GreyPrior, GroupPrior
from mnistzip.models.model_file import (
    GREY,
    PIXEL_PREFIX,
    READ_ERRORS,
    SHIFT_MAX,
    ArrayReader,
    damaged,
    description,
    integer_in,
    read_arrays,
    require_keys,
)
from mnistzip.nn.exact import power_of_two, rounding_bias
from mnistzip.types import Floats, Integers

if TYPE_CHECKING:
    from mnistzip.models.grey.grey_pixels import GreyPixels

LMBDA_MAX = 1 << 22
KEYS = {"version", "kind", "fine_shift", "step_shift", "within_shift", "analysis", "synthesis"}


class GreyParts(NamedTuple):
    """Everything in a model file but the pixel model, checked.

    Attributes:
        networks: analysis, quantizer, prior and synthesis.
        lmbda: weight of the squared error that each quality was trained for, shape ``(100,)``.
        has_pixel_model: whether the file holds one as well.
    """

    networks: GreyModel
    lmbda: Integers
    has_pixel_model: bool


def read_grey(content: bytes, name: str) -> GreyParts:
    """All of a model file but the pixel model.

    Raises:
        ModelError: it is no model file, or not for this version, or damaged, or its sums are not provably exact.
    """
    arrays, has_pixel_model = read_arrays(content, name, lambda array: not array.startswith(PIXEL_PREFIX))
    try:
        meta = description(arrays["meta"], name)
        require_keys(meta, KEYS)
        if meta["kind"] != GREY:
            raise ValueError(f"it is of the kind {meta['kind']!r}")
        reader = ArrayReader(arrays, name)
        within_shift = integer_in(meta["within_shift"], 1, SHIFT_MAX)
        shape = Shape(_integers(reader, "prior.cumulative", 1), _integers(reader, "prior.inverse_scale", 1))
        groups = tuple(_group(reader, number, within_shift) for number in range(GROUPS))
        model = GreyModel(
            analysis=reader.layers(meta["analysis"]),
            synthesis=reader.layers(meta["synthesis"]),
            fine=reader.per_quality("fine").astype(np.int64),
            fine_shift=integer_in(meta["fine_shift"], 1, SHIFT_MAX),
            step=reader.per_quality("step").astype(np.int64),
            step_shift=integer_in(meta["step_shift"], 1, SHIFT_MAX),
            curvature=reader.per_quality("curvature").astype(np.int64),
            prior=GreyPrior(groups, shape, reader.per_quality("bounds").astype(np.int64)),
        )
        lmbda = reader.lmbda()
        if lmbda.max() > LMBDA_MAX:
            raise ValueError("a weight of the error is out of range")
    except READ_ERRORS as cause:
        raise damaged(name, repr(cause)) from cause
    model.check_exact()
    reader.require_all_used({"meta"})
    return GreyParts(model, lmbda, has_pixel_model)


def read_grey_pixels(content: bytes, name: str) -> GreyPixels:
    """The pixel model of a model file.

    Raises:
        ModelError: as :func:`read_grey`.
    """
    from mnistzip.models.grey.grey_pixels import GreyPixels  # lossy files do without

    arrays, _ = read_arrays(content, name, lambda array: array.startswith(PIXEL_PREFIX))
    try:
        reader = ArrayReader(arrays, name)
        enter, head = reader.affine("pixels.enter"), reader.affine("pixels.head")
        pixels = GreyPixels(
            enter=enter,
            spread=_in_units(reader.array("pixels.enter.spread", 2), enter.unit),
            prediction=_in_units(reader.array("pixels.enter.prediction", 2), enter.unit),
            error=_in_units(reader.array("pixels.enter.error", 2), enter.unit),
            positions=_in_units(reader.array("pixels.enter.positions", 3), enter.unit),
            middle=(reader.affine("pixels.0"), reader.affine("pixels.1")),
            head=head,
            head_spread=_in_units(reader.array("pixels.head.spread", 2), head.unit),
            head_error=_in_units(reader.array("pixels.head.error", 2), head.unit),
            linear=reader.affine("pixels.linear"),
            magnify=_integers(reader, "pixels.magnify", 1),
            amplitude=_integers(reader, "pixels.amplitude", 1),
            shape=Shape(_integers(reader, "pixels.cumulative", 1), _integers(reader, "pixels.inverse_scale", 1)),
        )
    except READ_ERRORS as cause:
        raise damaged(name, repr(cause)) from cause
    pixels.check_exact()
    reader.require_all_used()
    return pixels


def _group(reader: ArrayReader, number: int, within_shift: int) -> GroupPrior:
    name = f"prior.{number}"
    shift = reader.shifts(f"{name}.shift")
    unit = power_of_two(-shift)
    return GroupPrior(
        around=_in_units(reader.array(f"{name}.around", 3), unit),
        before=_in_units(reader.array(f"{name}.before", 2), unit) if number else None,
        bias=_in_units(reader.per_quality(f"{name}.bias", 3), unit) + rounding_bias(shift),
        unit=unit,
        mix=(mix := reader.affine(f"{name}.mix")),
        mix_bias=_in_units(reader.per_quality(f"{name}.mix.quality"), mix.unit),
        gain=reader.per_quality(f"{name}.gain"),
        head=(head := reader.affine(f"{name}.head")),
        head_bias=_in_units(reader.per_quality(f"{name}.head.quality"), head.unit),
        within=_integers(reader, f"{name}.within", 2),
        within_shift=within_shift,
        linear_around=reader.array(f"{name}.linear_around", 3),
        linear_before=reader.array(f"{name}.linear_before", 2) if number else None,
        linear_gain=reader.per_quality(f"{name}.linear_gain").astype(np.int64),
    )


def _in_units(table: Floats, unit: Floats) -> Floats:
    """Integers of a table as multiples of the unit of each output, its last axis."""
    if table.shape[-1:] != unit.shape:
        raise ValueError(f"a table of shape {table.shape} is not of {len(unit)} outputs")
    return table * unit


def _integers(reader: ArrayReader, key: str, rank: int) -> Integers:
    return reader.array(key, rank).astype(np.int64)
