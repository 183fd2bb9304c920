"""The kind of a model: whether it codes tiles or whole images."""

from __future__ import annotations

from mnistzip.coding.latents import Kind
from mnistzip.models.registry import Model


def kind_of(model: Model) -> Kind:
    """The kind of a model."""
    model.require_lossy()
    if model.is_grey:
        from mnistzip.coding.grey_latents import WHOLE_IMAGES  # digits do without

        return WHOLE_IMAGES
    from mnistzip.coding.tile_latents import TILES

    return TILES
