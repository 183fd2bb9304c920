"""Images to coded streams and back: lossy, lossless, and the search for cheaper latents."""
