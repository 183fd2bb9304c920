"""Many images in one file: groups, index, reader and writer."""
