"""Training: torch twins of the integer networks, recipes and stages, and the export to model files."""
