"""Measure one codec at one setting. Every file is decoded again, from its bytes alone.

Images are encoded in parts of about 800,000 pixels, so that memory does not grow with the data set; a solid codec gets all
images at once. All figures follow from the size of the file and the sum of squared errors of each image.
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

from mnistzip.bench.mnistzip_codecs import MnistzipArchive, MnistzipFiles
from mnistzip.bench.protocol import Trained
from mnistzip.bench.registry import BenchJob, Kind
from mnistzip.bench.ssim import identical_scores, ms_ssim, ssim
from mnistzip.errors import FormatError
from mnistzip.types import Pixels

PART_PIXELS = 1024 * 28 * 28  # encoded together
SAMPLE_SIDE = 96  # pixels of an image that reports show
SHORT_SECONDS = 0.05  # a shorter measurement is repeated

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Measurement:
    """The result of one codec on all images.

    Attributes:
        sizes: bytes of the file of each image, shape ``(N,)``; for a solid codec an equal share of its file.
        sse: sum of squared errors of each image in squared grey levels, shape ``(N,)``.
        ssim, ms_ssim: of each image, shape ``(N,)``; NaN where undefined.
        encode_seconds, decode_seconds: processor time for all images, over all threads.
        peak_bytes: peak memory of encoding and decoding, without the memory in use before; -1 if unknown.
        header_bytes, ideal_bytes: total for all files of a codec of mnistzip; NaN for others or if unknown.
        samples: the decoded sample images, cropped by :func:`crop`.
        sample_sizes: bytes of their files, shape ``(len(samples),)``.
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
        """An ``.npz`` for :meth:`from_bytes`; ``stamp`` identifies what was measured."""
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
    def from_bytes(cls, content: bytes) -> tuple[Measurement, str]:
        """The measurement that :meth:`to_bytes` wrote, and its stamp.

        Raises:
            FormatError: not the file of a measurement.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as data:
                encode, decode, peak, header, ideal = data["scalars"].tolist()
                samples = cut(data["sample_pixels"], data["sample_shapes"])
                arrays = (data["sizes"], data["sse"], data["ssim"], data["ms_ssim"])
                measurement = cls(*arrays, encode, decode, int(peak), header, ideal, samples, data["sample_sizes"])
                return measurement, data["stamp"].tobytes().decode()
        except Exception as cause:  # zipfile, zlib and numpy raise different errors
            raise FormatError(f"not a measurement of mnistzip: {cause}") from cause


def measure(
    job: BenchJob,
    images: Sequence[Pixels],
    sample_indices: Sequence[int],
    progress: Callable[[int], None],
    save: Path | None = None,
) -> Measurement:
    """Encode all images and decode their files.

    Args:
        sample_indices: indices of the images whose reconstructions the result holds.
        progress: called with the number of finished images.
        save: folder for all files, ``<index>.bin``, or ``all.bin`` for a solid codec.

    Raises:
        MnistzipError: the codec cannot encode the images.
        FormatError: a decoded image has another shape, or differs more than the codec promises.
    """
    coder = job.coder()
    solid = job.codec.kind is Kind.SOLID
    whole = solid or isinstance(coder, Trained)
    if isinstance(coder, Trained):
        coder.train(images)
    coder.decode(coder.encode(images[:1]), [images[0].shape])  # loads libraries and models before the measurement
    if isinstance(coder, MnistzipArchive):  # encoding counts as one half of the work, decoding as the other
        calls = count(1)
        coder.progress = lambda: progress(min(next(calls) // 2, len(images) - 1))
    parts = list(_parts(images, sum(image.size for image in images) if whole else PART_PIXELS))
    figures = _Figures(len(images))
    memory = _Memory()
    samples: dict[int, tuple[float, Pixels]] = {}
    encoding = decoding = header = 0.0
    ideal: float | None = 0.0
    for part in parts:
        batch = images[part.start : part.stop]
        memory.before()
        files, seconds = _timed(partial(coder.encode, batch), repeat=len(parts) == 1)
        encoding += seconds
        shapes = [image.shape for image in batch]
        decoded, seconds = _timed(partial(coder.decode, files, shapes), repeat=len(parts) == 1)
        decoding += seconds
        memory.after()
        sizes = [len(files[0]) / len(images)] * len(batch) if solid else [float(len(file)) for file in files]
        figures.add(part, batch, decoded, sizes, largest_error=job.largest_error)
        samples |= {i: (sizes[i - part.start], crop(decoded[i - part.start]).copy()) for i in sample_indices if i in part}
        if isinstance(coder, MnistzipFiles):
            header += coder.header_bytes(files)
            part_ideal = coder.ideal_bytes(batch, files)
            ideal = None if part_ideal is None or ideal is None else ideal + part_ideal
        if save is not None:
            _save(save, files, part, solid)
        progress(part.stop)
    is_mnistzip = isinstance(coder, MnistzipFiles)
    return Measurement(
        sizes=figures.sizes,
        sse=figures.sse,
        ssim=figures.ssim,
        ms_ssim=figures.ms_ssim,
        encode_seconds=encoding,
        decode_seconds=decoding,
        peak_bytes=memory.peak,
        header_bytes=header if is_mnistzip else float("nan"),
        ideal_bytes=ideal if is_mnistzip and ideal is not None else float("nan"),
        samples=[samples[i][1] for i in sample_indices],
        sample_sizes=np.array([samples[i][0] for i in sample_indices], np.float64),
    )


def _timed(work: Callable[[], T], repeat: bool) -> tuple[T, float]:
    """The result of ``work`` and its processor time; with ``repeat``, short work is repeated and the least time counts."""
    total, least = 0.0, math.inf
    while True:
        start = time.process_time()
        result = work()
        seconds = time.process_time() - start
        total, least = total + seconds, min(least, seconds)
        if not repeat or total > SHORT_SECONDS:
            return result, least


def cut(pixels: Pixels, shapes: NDArray[np.int64]) -> list[Pixels]:
    """Split the pixels of all images, shape ``(total,)``, into images; ``shapes`` has shape ``(N, 2)``."""
    ends = np.cumsum(shapes.prod(axis=1))
    return [pixels[end - h * w : end].reshape(h, w) for end, (h, w) in zip(ends, shapes.tolist(), strict=True)]


def crop(image: Pixels) -> Pixels:
    """The middle of an image, at most 96x96 pixels, as reports show it."""
    top, left = (max(0, (side - SAMPLE_SIDE) // 2) for side in image.shape)
    return image[top : top + SAMPLE_SIDE, left : left + SAMPLE_SIDE]


def _parts(images: Sequence[Pixels], max_pixels: int) -> Iterator[range]:
    """Ranges of images with at most ``max_pixels`` pixels; a larger image has a separate range."""
    start = total = 0
    for index, image in enumerate(images):
        if index > start and total + image.size > max_pixels:
            yield range(start, index)
            start, total = index, 0
        total += image.size
    if start < len(images):
        yield range(start, len(images))


def _save(folder: Path, files: Sequence[bytes], part: range, solid: bool) -> None:
    """Write the files of a part."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["all"] if solid else [str(index) for index in part]
    for name, file in zip(names, files, strict=True):
        (folder / f"{name}.bin").write_bytes(file)


class _Figures:
    """Sizes and errors of all images, filled part by part."""

    def __init__(self, count: int) -> None:
        self.sizes = np.zeros(count)
        self.sse = np.zeros(count, np.int64)
        self.ssim = np.full(count, np.nan)
        self.ms_ssim = np.full(count, np.nan)

    def add(
        self,
        part: range,
        images: Sequence[Pixels],
        decoded: Sequence[Pixels],
        sizes: Sequence[float],
        largest_error: int | None,
    ) -> None:
        """Add a part; raises :class:`~mnistzip.errors.FormatError` if a pixel is further from the original than promised."""
        for index, image, result in zip(part, images, decoded, strict=True):
            if result.shape != image.shape or result.dtype != image.dtype:
                raise FormatError(f"image {index} of shape {image.shape} was decoded as {result.dtype} of shape {result.shape}")
            difference = image.astype(np.int64) - result
            self.sse[index] = np.square(difference).sum()
            if largest_error is not None and np.abs(difference).max() > largest_error:
                promise = f"within {largest_error} grey levels" if largest_error else "lossless"
                raise FormatError(f"not {promise}: image {index} was decoded to different pixels")
        indices = slice(part.start, part.stop)
        self.sizes[indices] = sizes
        if largest_error == 0:
            self.ssim[indices], self.ms_ssim[indices] = identical_scores(images)
        else:
            self.ssim[indices] = ssim(images, decoded)
            self.ms_ssim[indices] = ms_ssim(images, decoded)


class _Memory:
    """Peak memory between ``before`` and ``after`` in bytes; -1 if the system does not report it.

    Linux can reset the peak of a process. On other systems only memory above the earlier peak is seen.
    """

    def __init__(self) -> None:
        self.peak = -1
        self._start = 0

    def before(self) -> None:
        with contextlib.suppress(OSError):  # not Linux, or not permitted
            Path("/proc/self/clear_refs").write_text("5")
        self._start = _peak_memory()

    def after(self) -> None:
        peak = _peak_memory()
        if peak:
            self.peak = max(self.peak, peak - self._start)


def _peak_memory() -> int:
    """Peak memory of this process in bytes since it started or since the reset on Linux; 0 if unknown."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
