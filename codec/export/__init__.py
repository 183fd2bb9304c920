"""Models as C constants, for machines that have no room for a model file."""
