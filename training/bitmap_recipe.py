"""Make a model file of a trained model of bitmaps, with its report and card.

python -m mnistzip.training.bitmap_recipe train-images-idx3-ubyte.gz runs/bitmaps.pt -o pretrained/mnist-bitmap.npz
"""
