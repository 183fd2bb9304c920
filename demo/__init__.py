"""The page that ``mnistzip demo`` writes: draw a digit in a browser, and see what the codec keeps of it."""
