"""The models that ship: ``NAME.npz`` with its model card ``NAME.md`` and the report of its training ``NAME.json``."""
