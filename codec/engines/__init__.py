"""Engines: what computes the networks of a model and the entropy coder."""
