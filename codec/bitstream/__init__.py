"""The bytes of a single file: header, payload, and pixels stored without a model."""
