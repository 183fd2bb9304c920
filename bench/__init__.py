"""Measurements: what files really take and what they keep."""
