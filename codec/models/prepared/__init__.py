"""Prepared models: the weights of a model file, laid out for the kernels of the native engine.

A prepared model is a row of records, of 16 numbers of 32 bits each, and arrays. Each begins at a multiple of 64 bytes. Numbers
are in the byte order of the machine that uses them. ``engine/model.c`` reads it in the same order, checks every shape and
proves every sum again, so a prepared model needs no trust.

A matrix is laid out in blocks of 16 outputs, and within a block in pairs of inputs: ``(blocks, runs, pairs, 16, 2)`` of int16.
Runs are the rows of a convolution's kernel. A matrix is *wide* if its weights or its inputs need more than 16 bits: it is then
laid out as ``(runs, inputs, outputs)`` of int32.

The first record says the kind of the model. Models of tiles and those of the kind ``grey`` share the layout of layers. Those of
the kind ``bitmap`` have a few matrices only.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mnistzip import pretrained
from mnistzip.models import stored_models
from mnistzip.models.model import Model
from mnistzip.models.prepared.bitmaps import write_bitmaps
from mnistzip.models.prepared.grey import write_grey
from mnistzip.models.prepared.tiles import write_tiles
from mnistzip.models.prepared.writer import Section as Section, Use as Use, Writer
from mnistzip.models.registry import SHIPPED


def prepare(model: Model, byteorder: str = sys.byteorder) -> bytes:
    """The prepared model of a model.

    Args:
        byteorder: of the machine that will use it, ``"little"`` or ``"big"``.
    """
    return prepare_sections(model, byteorder)[0]


def prepare_sections(model: Model, byteorder: str = sys.byteorder) -> tuple[bytes, list[Section]]:
    """The prepared model of a model, and the records and arrays that it consists of; the first record without its size."""
    writer = Writer(">" if byteorder == "big" else "<")
    write = write_bitmaps if model.is_bitmap else write_grey if model.is_grey else write_tiles
    write(writer, model)
    return writer.finish(), writer.sections


def store_shipped(folder: Path) -> None:
    """Store the prepared models of the package in a folder; ``setup.py`` calls it."""
    for name, number in SHIPPED.items():
        file = pretrained.FOLDER / f"{name}.npz"
        stored_models.write(folder / f"{name}{stored_models.SUFFIX}", file, prepare(Model(name, number, file.name)))
