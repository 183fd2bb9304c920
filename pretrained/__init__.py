"""The models that ship: ``NAME.npz`` with its model card ``NAME.md`` and the report of its training ``NAME.json``.

The build adds ``NAME.prepared``, see :mod:`mnistzip.models.stored_models`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def read(file: str) -> bytes:
    """The content of a file of this package."""
    try:
        return (FOLDER / file).read_bytes()
    except OSError:  # the package is imported from a zip file
        from importlib import resources  # importing it takes longer than reading the file

        return resources.files(__name__).joinpath(file).read_bytes()
