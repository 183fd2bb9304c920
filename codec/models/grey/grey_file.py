"""The part of a model file of the kind ``grey``: arrays and description to checked networks."""

from __future__ import annotations

import numpy as np

from mnistzip.models.grey.distribution import Shape
from mnistzip.models.grey.grey_model import GreyModel
from mnistzip.models.grey.prior import GROUPS, GreyPrior, GroupPrior
from mnistzip.models.model_file import (
    GREY,
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
from mnistzip.types import Integers

LMBDA_MAX = 1 << 22
KEYS = {"version", "kind", "fine_shift", "step_shift", "within_shift", "analysis", "synthesis"}


def read_grey(content: bytes, name: str) -> tuple[GreyModel, Integers]:
    """The networks of a model file, and the weight of the squared error that each quality was trained for, shape ``(100,)``.

    Raises:
        ModelError: it is no model file, or not for this version, or damaged, or its sums are not provably exact.
    """
    arrays, _ = read_arrays(content, name)
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
    return model, lmbda


def _group(reader: ArrayReader, number: int, within_shift: int) -> GroupPrior:
    name = f"prior.{number}"
    shift = reader.shifts(f"{name}.shift")
    unit = power_of_two(-shift)
    return GroupPrior(
        around=reader.array(f"{name}.around", 3) * unit,
        before=reader.array(f"{name}.before", 2) * unit if number else None,
        bias=reader.per_quality(f"{name}.bias", 3) * unit + rounding_bias(shift),
        unit=unit,
        mix=(mix := reader.affine(f"{name}.mix")),
        mix_bias=reader.per_quality(f"{name}.mix.quality") * mix.unit,
        gain=reader.per_quality(f"{name}.gain"),
        head=(head := reader.affine(f"{name}.head")),
        head_bias=reader.per_quality(f"{name}.head.quality") * head.unit,
        within=_integers(reader, f"{name}.within", 2),
        within_shift=within_shift,
        linear_around=reader.array(f"{name}.linear_around", 3),
        linear_before=reader.array(f"{name}.linear_before", 2) if number else None,
        linear_gain=reader.per_quality(f"{name}.linear_gain").astype(np.int64),
    )


def _integers(reader: ArrayReader, key: str, rank: int) -> Integers:
    return reader.array(key, rank).astype(np.int64)
