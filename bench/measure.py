"""Measure one codec at one setting: every file is decoded again before anything is said of it.

Images go through in parts of about 800,000 pixels, so that memory does not grow with the data set; a solid codec takes them
all at once. Per image the size of its file and the sum of its squared errors are kept, from which every figure follows.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mnistzip.bench import ssim as similarity
from mnistzip.bench.mnistzip_codecs import OurArchive, Ours
from mnistzip.bench.protocol import Trained
from mnistzip.bench.registry import Job, Kind
from mnistzip.errors import FormatError
from mnistzip.types import Pixels

PART_PIXELS = 1024 * 28 * 28
SAMPLE_SIDE = 96
SHORT = 0.05  # seconds; what takes less is measured again

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """What one codec made of all images.

    Attributes:
        sizes: bytes of each image's file, shape ``(N,)``; of a solid codec an equal share of the one file.
        sse: sum of squared errors of each image, shape ``(N,)``.
        ssim, ms_ssim: of each image, shape ``(N,)``, NaN where they are not defined.
        encode_seconds, decode_seconds: processor time of all images, over all threads.
        peak_bytes: most memory that coding and decoding took beyond what was there before; -1 where it is not known.
        header_bytes, ideal_bytes: of all files together, for mnistzip where they are known, else NaN.
        samples: what the chosen images were decoded to, cropped by :func:`crop`.
        sample_sizes: bytes of their files, shape ``(chosen,)``.
    """

    sizes: Floats
    sse: Ints
    ssim: Floats
    ms_ssim: Floats
    encode_seconds: float
    decode_seconds: float
    peak_bytes: int
    header_bytes: float
    ideal_bytes: float
    samples: list[Pixels]
    sample_sizes: Floats

    def to_bytes(self, stamp: str) -> bytes:
        """An ``.npz`` that :meth:`from_bytes` reads; ``stamp`` says what was measured."""
        scalars = [self.encode_seconds, self.decode_seconds, self.peak_bytes, self.header_bytes, self.ideal_bytes]
        out = io.BytesIO()
        np.savez_compressed(
            out,
            stamp=np.frombuffer(stamp.encode(), np.uint8),
            scalars=np.array(scalars, np.float64),
            sizes=self.sizes,
            sse=self.sse,
            ssim=self.ssim,
            ms_ssim=self.ms_ssim,
            sample_sizes=self.sample_sizes,
            sample_shapes=np.array([sample.shape for sample in self.samples], np.int64),
            sample_pixels=np.concatenate([sample.ravel() for sample in self.samples]),
        )
        return out.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> tuple[Measured, str]:
        """What :meth:`to_bytes` wrote, and its stamp.

        Raises:
            FormatError: not such a file.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                encode, decode, peak, header, ideal = held["scalars"].tolist()
                samples = cut(held["sample_pixels"], held["sample_shapes"])
                arrays = (held["sizes"], held["sse"], held["ssim"], held["ms_ssim"])
                measured = cls(*arrays, encode, decode, int(peak), header, ideal, samples, held["sample_sizes"])
                return measured, held["stamp"].tobytes().decode()
        except Exception as cause:  # zipfile, zlib and numpy each have errors of their own
            raise FormatError(f"not a measurement of mnistzip: {cause}") from cause


def measure(
    job: Job, images: Sequence[Pixels], chosen: Sequence[int], progress: Callable[[int], None], save: Path | None = None
) -> Measured:
    """Code all images and decode their files.

    Args:
        chosen: indices of images whose reconstructions are kept.
        progress: called with the number of images done so far.
        save: a folder that all files are written to, ``<index>.bin``, or ``all.bin`` of a solid codec.

    Raises:
        MnistzipError: the codec cannot take the images.
        FormatError: what it decoded is of another shape, or differs though the codec is lossless.
    """
    coder = job.coder()
    solid = job.codec.kind is Kind.SOLID
    whole = solid or isinstance(coder, Trained)
    if isinstance(coder, Trained):
        coder.train(images)
    coder.decode(coder.encode(images[:1]), [images[0].shape])  # loads libraries and models before the clock runs
    if isinstance(coder, OurArchive):  # one half of the way is encoding, the other decoding
        taken = count(1)
        coder.progress = lambda: progress(min(next(taken) // 2, len(images) - 1))
    parts = list(_parts(images, sum(image.size for image in images) if whole else PART_PIXELS))
    tally = _Tally(len(images))
    memory = _Memory()
    samples: dict[int, tuple[float, Pixels]] = {}
    encoding = decoding = header = 0.0
    ideal: float | None = 0.0
    for part in parts:
        these = images[part.start : part.stop]
        memory.before()
        files, seconds = _timed(partial(coder.encode, these), again=len(parts) == 1)
        encoding += seconds
        shapes = [image.shape for image in these]
        decoded, seconds = _timed(partial(coder.decode, files, shapes), again=len(parts) == 1)
        decoding += seconds
        memory.after()
        sizes = [len(files[0]) / len(images)] * len(these) if solid else [float(len(file)) for file in files]
        tally.add(part, these, decoded, sizes, keeps=job.codec.kind is not Kind.LOSSY)
        samples |= {i: (sizes[i - part.start], crop(decoded[i - part.start]).copy()) for i in chosen if i in part}
        if isinstance(coder, Ours):
            header += coder.header_bytes(files)
            more = coder.ideal_bytes(these, files)
            ideal = None if more is None or ideal is None else ideal + more
        if save is not None:
            _save(save, files, part, solid)
        progress(part.stop)
    ours = isinstance(coder, Ours)
    return Measured(
        sizes=tally.sizes,
        sse=tally.sse,
        ssim=tally.ssim,
        ms_ssim=tally.ms_ssim,
        encode_seconds=encoding,
        decode_seconds=decoding,
        peak_bytes=memory.peak,
        header_bytes=header if ours else float("nan"),
        ideal_bytes=ideal if ours and ideal is not None else float("nan"),
        samples=[samples[i][1] for i in chosen],
        sample_sizes=np.array([samples[i][0] for i in chosen], np.float64),
    )


def _timed(work: Callable[[], T], again: bool) -> tuple[T, float]:
    """What ``work`` gives and its processor time; where that is short, the least of several goes if ``again``."""
    spent, least = 0.0, math.inf
    while True:
        began = time.process_time()
        result = work()
        seconds = time.process_time() - began
        spent, least = spent + seconds, min(least, seconds)
        if not again or spent > SHORT:
            return result, least


def cut(pixels: Pixels, shapes: NDArray[np.int64]) -> list[Pixels]:
    """Images out of all their pixels in a row, shape ``(total,)``, and their shapes, ``(N, 2)``."""
    ends = np.cumsum(shapes.prod(axis=1))
    return [pixels[end - h * w : end].reshape(h, w) for end, (h, w) in zip(ends, shapes.tolist(), strict=True)]


def crop(image: Pixels) -> Pixels:
    """The middle of an image, at most 96x96 pixels: what reports show of it."""
    top, left = (max(0, (side - SAMPLE_SIDE) // 2) for side in image.shape)
    return image[top : top + SAMPLE_SIDE, left : left + SAMPLE_SIDE]


def _parts(images: Sequence[Pixels], at_most: int) -> Iterator[range]:
    """Runs of images of at most so many pixels, or of one."""
    start = total = 0
    for index, image in enumerate(images):
        if index > start and total + image.size > at_most:
            yield range(start, index)
            start, total = index, 0
        total += image.size
    if start < len(images):
        yield range(start, len(images))


def _save(folder: Path, files: Sequence[bytes], part: range, solid: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = ["all"] if solid else [str(index) for index in part]
    for name, file in zip(names, files, strict=True):
        (folder / f"{name}.bin").write_bytes(file)


class _Tally:
    """Figures of each image."""

    def __init__(self, count: int) -> None:
        self.sizes = np.zeros(count)
        self.sse = np.zeros(count, np.int64)
        self.ssim = np.full(count, np.nan)
        self.ms_ssim = np.full(count, np.nan)

    def add(
        self, part: range, images: Sequence[Pixels], decoded: Sequence[Pixels], sizes: Sequence[float], keeps: bool
    ) -> None:
        """Figures of some images; raises :class:`~mnistzip.errors.FormatError` if a codec that ``keeps`` pixels did not."""
        for index, image, back in zip(part, images, decoded, strict=True):
            if back.shape != image.shape or back.dtype != image.dtype:
                raise FormatError(f"image {index} of shape {image.shape} came back as {back.dtype} of shape {back.shape}")
            difference = image.astype(np.int64) - back
            self.sse[index] = np.square(difference).sum()
            if keeps and self.sse[index]:
                raise FormatError(f"not lossless: image {index} came back with other pixels")
        where = slice(part.start, part.stop)
        self.sizes[where] = sizes
        if keeps:
            identical = similarity.identical(images)
            self.ssim[where], self.ms_ssim[where] = identical
        else:
            self.ssim[where] = similarity.ssim(images, decoded)
            self.ms_ssim[where] = similarity.ms_ssim(images, decoded)


class _Memory:
    """The most memory that was taken between ``before`` and ``after``, in bytes; -1 where the system does not tell.

    Linux can be asked to forget the peak so far. Elsewhere only what passes the largest peak of the process counts.
    """

    def __init__(self) -> None:
        self.peak = -1
        self._held = 0

    def before(self) -> None:
        with contextlib.suppress(OSError):  # not Linux, or not allowed
            Path("/proc/self/clear_refs").write_text("5")
        self._held = _peak_memory()

    def after(self) -> None:
        held = _peak_memory()
        if held:
            self.peak = max(self.peak, held - self._held)


def _peak_memory() -> int:
    """The most bytes that this process held since it began, or since Linux was asked to forget; 0 if not known."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else held * 1024
