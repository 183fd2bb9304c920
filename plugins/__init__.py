"""mnistzip within other libraries: Pillow (imageio through it), PyTorch, Ray, Zarr, numcodecs. docs/plugins.md shows them.

Nothing here is imported by mnistzip itself; each module needs the library that it is named after.
"""
