"""Helpers that the tests and the scripts in ``tools`` import."""
