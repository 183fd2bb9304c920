"""Images to coded streams and back: lossy, lossless, and the choice of a model for each image."""
