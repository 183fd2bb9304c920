"""The model kind ``grey``: pictures of any size, without tiles and without positions."""
