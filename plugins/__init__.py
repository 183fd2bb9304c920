"""mnistzip within other libraries: Pillow (and imageio through it), Zarr and numcodecs. docs/plugins.md shows each at work.

Nothing here is imported by mnistzip itself; each module needs the library that it is named after.
"""
