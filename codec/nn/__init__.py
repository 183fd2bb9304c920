"""Exact integer layers, their gradients, and the threads of the matrix products."""
