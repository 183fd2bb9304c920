"""Prepared models of the kind ``bitmap``: a few matrices."""

from __future__ import annotations

from mnistzip.models.model import Model
from mnistzip.models.prepared.writer import MAGIC, Writer, affine_weight, is_wide, write_dense
from mnistzip.models.stored_models import BITMAP_KIND, LAYOUT
from mnistzip.nn.exact import integers_of, shifts_of


def write_bitmaps(writer: Writer, model: Model) -> None:
    """A model that codes the bitmaps of digits."""
    bitmaps = model.bitmaps
    enter, others = bitmaps.enter, (*bitmaps.middle, bitmaps.head)
    writer.record(MAGIC, LAYOUT, 0, 0, 0, 0, 0, 0, model.has_pixel_model, BITMAP_KIND)
    widths, wide = [layer.weight.shape[0] for layer in others], [is_wide(affine_weight(layer)) for layer in others]
    writer.record(*widths, *wide)
    for frequencies in (bitmaps.sides, bitmaps.differences, bitmaps.shifts):
        writer.numbers(frequencies)
    writer.rows(affine_weight(enter))
    writer.rows(integers_of(enter.bias, enter.unit))
    writer.numbers(shifts_of(enter.unit))
    for table in (bitmaps.edges, bitmaps.sizes):
        for rows in table:
            writer.rows(integers_of(rows, enter.unit))
    for layer, layer_wide in zip(others, wide, strict=True):
        write_dense(writer, layer, layer_wide)
