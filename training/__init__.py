"""Training: the torch twins of the integer networks, the recipes, and the way from weights to a model file."""
