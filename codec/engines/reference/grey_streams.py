"""Whole images to streams and back: the prior or the pixel model of a model ``grey`` gives the intervals of the symbols."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnistzip.engines.interface import Intervals
from mnistzip.entropy import rans
from mnistzip.entropy.cost import TOTAL
from mnistzip.entropy.states import FinalStates
from mnistzip.models.grey.distribution import Distributions
from mnistzip.models.grey.grey_model import latent_shape
from mnistzip.models.grey.grey_pixels import CELLS_TOGETHER, WINDOW, GreyPixels, Mixtures
from mnistzip.models.grey.prior import GreyPrior
from mnistzip.models.slanted import cells
from mnistzip.types import Integers, Pixels

Shape = tuple[int, int]


def image_symbols(prior: GreyPrior, y: Integers, quality_index: int) -> Intervals:
    """The intervals of the symbols of latents ``(N, h, w, 16)`` in coding order."""
    starts, freqs = prior.intervals(y, quality_index)
    return Intervals(starts.astype(np.uint16), (freqs - 1).astype(np.uint16))


def encode(symbols: Sequence[Intervals], checks: Integers, check_bits: int) -> list[bytes]:
    """The bytes of each stream, given its symbols and its check."""
    longest = max((each.start.size for each in symbols), default=0)
    starts, freqs = np.zeros((len(symbols), longest), np.int64), np.full((len(symbols), longest), TOTAL, np.int64)
    for row, each in enumerate(symbols):
        starts[row, : each.start.size] = each.start
        freqs[row, : each.start.size] = each.freq_less_one.astype(np.int64) + 1
    return rans.encode(starts, freqs, checks, check_bits)


def decode(
    prior: GreyPrior, coded: Sequence[bytes], quality_index: int, shapes: Sequence[Sequence[Shape]]
) -> tuple[list[list[Integers]], FinalStates]:
    """The latents of the images of each stream, and where each stream ended. Streams advance together where shapes agree."""
    decoder = rans.Decoder(coded)
    latents: list[list[Integers]] = [[] for _ in coded]
    for depth in range(max(map(len, shapes), default=0)):
        alike: dict[Shape, list[int]] = {}
        for stream, of_stream in enumerate(shapes):
            if depth < len(of_stream):
                alike.setdefault(latent_shape(*of_stream[depth]), []).append(stream)
        for (height, width), streams in alike.items():
            which = np.array(streams)

            def next_symbols(distributions: Distributions, which: Integers = which) -> Integers:
                return decoder.decode(distributions, np.repeat(which, len(distributions.mean) // len(which)))

            y = prior.decode(len(streams), height, width, quality_index, next_symbols)
            for stream, latent in zip(streams, y, strict=True):
                latents[stream].append(latent)
    return latents, decoder.final_states()


def pixel_symbols(model: GreyPixels, x: Pixels, max_error: int) -> Intervals:
    """The intervals of the grey levels of images ``(N, H, W)`` in coding order."""
    starts, freqs = model.intervals(x, max_error)
    return Intervals(starts.astype(np.uint16), (freqs - 1).astype(np.uint16))


def decode_pixels(
    model: GreyPixels, coded: Sequence[bytes], shapes: Sequence[Sequence[Shape]], max_error: int
) -> tuple[list[list[Pixels]], FinalStates]:
    """The images of each stream that the pixel model coded, and where each stream ended. Streams advance together."""
    decoder = rans.Decoder(coded)
    images: list[list[Pixels]] = [[] for _ in coded]
    for depth in range(max(map(len, shapes), default=0)):
        alive = [stream for stream, of_stream in enumerate(shapes) if depth < len(of_stream)]
        for streams in _batches(alive, [cells(shapes[stream][depth], WINDOW) for stream in alive]):

            def next_symbols(mixtures: Mixtures, image: Integers, streams: Integers = streams) -> Integers:
                return decoder.decode(mixtures, streams[image])

            decoded = model.decode([shapes[stream][depth] for stream in streams.tolist()], max_error, next_symbols)
            for stream, image in zip(streams.tolist(), decoded, strict=True):
                images[stream].append(image)
    return images, decoder.final_states()


def _batches(streams: Sequence[int], sizes: Sequence[int]) -> list[Integers]:
    """Streams in batches of limited size; the stream with which a batch reaches the limit begins the next one."""
    total = np.cumsum(sizes) // CELLS_TOGETHER
    return np.split(np.array(streams, np.int64), np.flatnonzero(np.diff(total)) + 1)
