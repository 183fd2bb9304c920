"""The pixel model, which codes every pixel without loss."""
