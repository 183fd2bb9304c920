"""The kind of models ``bitmap``: digits of MNIST as the black and white bitmaps that they were made from."""
