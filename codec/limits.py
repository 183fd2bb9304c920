"""Limits on input: the largest of everything that a file, a model or an option may ask for.

They bound the time and memory that hostile input can take. ``tools/bounds.py`` measures both at the limits.
A limit that a user may raise has an option, which its error names.
"""

from __future__ import annotations

from mnistzip.types import Mode

# Images
SIDE_MAX = 65535
PIXELS_MAX = 1 << 26  # width * height of any image that is coded
DECODED_PIXELS_MAX = {
    Mode.LOSSY: 1 << 23,
    Mode.LOSSLESS: 1 << 18,
    Mode.STORED: PIXELS_MAX,
    Mode.BOUNDED: 1 << 18,
}  # seconds of work at worst; --max-pixels

GREY_PIXELS_MAX = 1 << 20  # of a lossy image whose model codes it whole; --max-pixels
GREY_STEPS_MAX = 1 << 12  # width + 3 * height of an image that a pixel model codes whole; --max-pixels
GREY_LANE_STEPS_MAX = 1 << 14  # of all images of a lane

BITMAP_PIXELS_MAX = 1 << 14  # of the bitmap of a digit

ERROR_MAX = 64  # grey levels, the largest bound of a bounded error

# Streams
CHECK_BITS_MIN, CHECK_BITS_MAX = 16, 23  # bits of a check in a file; bare streams may have fewer

# Archives
GROUP_PIXELS_MAX = {
    Mode.LOSSY: 1 << 23,
    Mode.LOSSLESS: 1 << 21,
    Mode.STORED: PIXELS_MAX,
    Mode.BOUNDED: 1 << 21,
}  # decoded together; --max-pixels
GROUP_NAMES_MAX = 1 << 22  # bytes of the names of a group

# Chunks of arrays, as plugins code them
CHUNK_PIXELS_MAX = 1 << 28  # of all images of a chunk together

# Model files
MODEL_FILE_MAX = 16 << 20  # bytes, of the file and of its arrays together
MODEL_LAYERS_MAX = 200
MODEL_META_MAX = 1 << 16  # bytes of the description
ARRAY_HEADER_MAX = 512  # bytes of the header of an array
MACS_MAX = {  # multiply-adds of an image; they take some seconds
    Mode.LOSSY: 320 * 10**9,
    Mode.LOSSLESS: 80 * 10**9,
    Mode.BOUNDED: 80 * 10**9,
}
PRIOR_VALUES_MAX = 1 << 26  # values that the prior keeps for all tiles of an image
PRIOR_STATES_MAX = 1 << 12  # values of ``near`` or ``far`` for a tile
SIGNAL_MAX = 1 << 17  # values between two layers for an image
GATHERED_MAX = 1 << 19  # values that a convolution gathers for an image
COPY_KEY_MAX = 32  # values of a key of the copy attention
PIXEL_WIDTH_MAX = 512  # width of a layer of the pixel model

# Inputs of other formats
INPUT_FILE_MAX = 1 << 30  # bytes of an image file
IDX_FILE_MAX = 1 << 31  # bytes of an IDX file that is read at once
IDX_IMAGE_MAX = 1 << 26  # elements of an image in an IDX file
LABEL_FILE_MAX = 1 << 28  # bytes of a file of labels
ARRAY_NAMES_MAX = 1 << 28  # bytes of the names in an .npz file
FOLDER_DEPTH_MAX = 100  # folders within each other
