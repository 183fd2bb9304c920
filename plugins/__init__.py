"""mnistzip within other libraries: Pillow (imageio through it), PyTorch, Zarr, numcodecs. docs/plugins.md shows them at work.

Nothing here is imported by mnistzip itself; each module needs the library that it is named after.
"""
