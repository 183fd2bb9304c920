"""``mnistzip train``: torch twins of the integer networks, recipes to train them, and the export to a model file.

images -> splits -> recipes (stages, pixel_stages) -> export -> model file, report, model card
"""
