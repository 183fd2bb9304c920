"""The shipped models by their kind."""

from __future__ import annotations

from mnistzip.models import registry

TILED = tuple(name for name in registry.SHIPPED if not registry.shipped(name).is_grey)  # those that code tiles of 28x28
