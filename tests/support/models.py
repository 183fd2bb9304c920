"""The shipped models by their kind."""

from __future__ import annotations

from mnistzip.models import registry

TILED = tuple(name for name in registry.SHIPPED if registry.shipped(name).codes_tiles)  # those that code tiles of 28x28
