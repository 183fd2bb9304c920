"""Everything that a model file holds: networks, priors, and the registry that finds models."""
