"""``mnistzip bench``: compare codecs by their whole files, decoded again, on the images of a user."""
