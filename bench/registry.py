"""The codecs that are compared, each at a few settings: one entry for each codec, those of mnistzip first.

An entry is all that tables, plots and reports need. To add a peer:

1. Write a function in :mod:`mnistzip.bench.other_codecs` that makes its coder, see :class:`~mnistzip.bench.protocol.Coder`.
2. Add one ``_peer(...)`` line to ``_lossy``, ``_lossless`` or ``_solid`` below: name, label, kind, function, library, settings.
3. Run ``mnistzip bench DATA --codecs NAME``.

A new mode of mnistzip is one entry in ``_of_mnistzip``: its settings are the options of :func:`mnistzip.encode_many` or, with
``MnistzipArchive``, of :func:`mnistzip.encode_archive`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from mnistzip.bench import other_codecs
from mnistzip.bench.mnistzip_codecs import MnistzipArchive, MnistzipFiles
from mnistzip.bench.protocol import Coder, library_version
from mnistzip.bench.solid import Parquet, TarXz, sheet_of
from mnistzip.errors import OptionError
from mnistzip.models import registry
from mnistzip.options import DEFAULT_EFFORT, EFFORT_MAX

LIBRARIES = ("mnistzip", "engine", "numpy")  # of the codecs of mnistzip
INSTALL = "pip install 'mnistzip[bench]'"


class Kind(StrEnum):
    """Lossy and lossless codecs make a file for each image, a solid codec one file of all images."""

    LOSSY = "lossy"
    LOSSLESS = "lossless"
    SOLID = "solid"


@dataclass(frozen=True)
class Codec:
    """A codec and the settings it is measured at.

    Attributes:
        name: its name in ``--codecs``.
        label: its name in tables and plots.
        settings: arguments of ``make`` by the name of the setting; the name is empty if there is only one setting.
        make: makes a coder from the arguments of a setting.
        library: names of the libraries that do the work, see :func:`mnistzip.bench.protocol.library_version`.
        needs: modules that must be installed.
        cost: rough time for an image of 28x28 in milliseconds; long jobs start first, and the remaining time is estimated from
            it.
        ours: whether it is a codec of mnistzip.
        on_request: measured only if ``--codecs`` names it.
        bound: the argument that says how far a pixel may be from the original; empty if none does.
    """

    name: str
    label: str
    kind: Kind
    settings: dict[str, dict[str, Any]]
    make: Callable[..., Coder]
    library: tuple[str, ...]
    needs: tuple[str, ...] = ()
    cost: float = 0.2
    ours: bool = False
    on_request: bool = False
    bound: str = ""

    def versions(self) -> str:
        """The installed libraries that do the work, with their versions."""
        installed = ((name, library_version(name)) for name in self.library)
        return ", ".join(f"{name} {version}" for name, version in installed if version is not None)

    def missing(self) -> str | None:
        """The modules that are missing and the command that installs them; None if the codec can run."""
        lacking = [name for name in self.needs if importlib.util.find_spec(name) is None]
        return f"needs {' and '.join(lacking)}: {INSTALL}" if lacking else None


@dataclass(frozen=True)
class BenchJob:
    """One codec at one setting."""

    codec: Codec
    setting: str
    arguments: dict[str, Any] = field(hash=False)

    @property
    def key(self) -> str:
        """``codec@setting``, its name in ``--codecs``."""
        return f"{self.codec.name}@{self.setting}" if self.setting else self.codec.name

    def coder(self) -> Coder:
        """Make the coder of this setting."""
        return self.codec.make(**self.arguments)

    @property
    def largest_error(self) -> int | None:
        """How far a pixel may be from the original, in grey levels; None if that is not promised."""
        if self.codec.kind is not Kind.LOSSY:
            return 0
        return self.arguments[self.codec.bound] if self.codec.bound else None


def _settings(letter: str, argument: str, values: Sequence[float], **fixed: Any) -> dict[str, dict[str, Any]]:
    """Settings that differ in one argument, named by a letter and its value: ``q10``, ``q25``."""
    return {f"{letter}{value:g}": {argument: value, **fixed} for value in values}


def _ours(name: str, model: str, effort: int, qualities: Sequence[int], cost: float, on_request: bool = False) -> Codec:
    """A lossy codec of mnistzip: one model at one effort, at several qualities."""
    settings = _settings("q", "quality", qualities, model=model, effort=effort)
    label = f"mnistzip {name_of(model)}, effort {effort}"
    return Codec(name, label, Kind.LOSSY, settings, MnistzipFiles, LIBRARIES, cost=cost, ours=True, on_request=on_request)


def _bounded() -> Codec:
    """Files of mnistzip in which no pixel is further from the original than a bound."""
    settings = _settings("n", "max_error", (1, 2, 4, 8, 16, 32))
    return Codec(
        "mnistzip-bounded",
        "mnistzip bounded",
        Kind.LOSSY,
        settings,
        MnistzipFiles,
        LIBRARIES,
        cost=13,
        ours=True,
        bound="max_error",
    )


def _lossless_of(name: str, model: str, cost: float, on_request: bool = True) -> Codec:
    """A lossless codec of mnistzip with one model."""
    settings: dict[str, dict[str, Any]] = {"": {"lossless": True, "model": model}}
    label = f"mnistzip {name}, lossless"
    return Codec(
        f"{name}-lossless",
        label,
        Kind.LOSSLESS,
        settings,
        MnistzipFiles,
        LIBRARIES,
        cost=cost,
        ours=True,
        on_request=on_request,
    )


def name_of(model: str) -> str:
    """The name of a model in the names of codecs: that of a shipped model, or of a file without folders and suffix.

    Raises:
        ModelError: no such model.
    """
    return model if registry.is_shipped(model) else registry.find(model).name


def _peer(
    name: str,
    label: str,
    kind: Kind,
    make: Callable[..., Coder],
    library: str,
    settings: dict[str, dict[str, Any]] | None = None,
    cost: float = 0.2,
    bound: str = "",
) -> Codec:
    """A codec of another library; ``library`` starts with the package to import, then names the libraries within it."""
    package, *_ = library.split()
    module = {"Pillow": "PIL", "python": "sys"}.get(package, package)
    return Codec(name, label, kind, settings or {"": {}}, make, tuple(library.split()), (module,), cost, bound=bound)


SPARSE = (10, 25, 50, 75, 100)  # qualities of slow codecs of mnistzip
CURVE = (1, 10, 25, 50, 75, 100)  # qualities of fast codecs of mnistzip
FINE = (5, 10, 20, 40, 60, 80, 95)  # qualities of WebP and JPEG


def codecs_by_name(model: str | None = None) -> dict[str, Codec]:
    """All codecs by name, in the order of the tables.

    Args:
        model: name or path of a model to measure as well, under its name. For a shipped model its codecs are no longer
            measured on request only.

    Raises:
        OptionError: the model has the name of a codec.
        ModelError: no such model.
    """
    codecs = [*_of_mnistzip(model), *_lossy(), *_lossless(), *_solid()]
    names = [codec.name for codec in codecs]
    if model is not None and len(set(names)) < len(names):
        raise OptionError(f"{model}: another codec has that name: rename the file")
    return dict(zip(names, codecs, strict=True))


def _of_mnistzip(model: str | None) -> list[Codec]:
    """The codecs of mnistzip."""
    lossy = [
        _ours("auto", "auto", DEFAULT_EFFORT, SPARSE, 9),
        _ours("auto-e0", "auto", 0, CURVE, 4),
        _ours("mnist", "mnist", DEFAULT_EFFORT, SPARSE, 6),
        _ours("mnist-e0", "mnist", 0, CURVE, 2),
        _ours("mnist-e6", "mnist", 6, SPARSE, 22, on_request=True),
        _ours(f"mnist-e{EFFORT_MAX}", "mnist", EFFORT_MAX, SPARSE, 300, on_request=True),
        _ours("mnist-fast", "mnist-fast", DEFAULT_EFFORT, SPARSE, 3),
        _ours("mnist-fast-e0", "mnist-fast", 0, CURVE, 1),
        _ours("glyph", "glyph", DEFAULT_EFFORT, SPARSE, 3, on_request=True),
        _ours("glyph-e0", "glyph", 0, CURVE, 1, on_request=True),
        _ours("grey", "grey", DEFAULT_EFFORT, SPARSE, 4, on_request=True),
        _ours("grey-e0", "grey", 0, CURVE, 1, on_request=True),
        _ours("classic", "classic", 0, (1, 25, 50, 100), 2),
    ]
    costs = {"auto": 13, "mnist": 8, "mnist-fast": 5, "glyph": 5}
    lossless = [_lossless_of(name, name, cost) for name, cost in costs.items()]
    if model is not None and not registry.is_shipped(model):
        name = name_of(model)
        lossy += [_ours(name, model, DEFAULT_EFFORT, SPARSE, 6), _ours(f"{name}-e0", model, 0, CURVE, 2)]
        lossless.append(_lossless_of(name, model, 8, on_request=False))
    elif model is not None:
        requested = (model, f"{model}-e0", f"{model}-lossless")
        lossy, lossless = (
            [replace(each, on_request=each.on_request and each.name not in requested) for each in codecs]
            for codecs in (lossy, lossless)
        )
    options: dict[str, dict[str, Any]] = {"": {"lossless": True}}
    return [
        *lossy,
        _bounded(),
        Codec("mnistzip-lossless", "mnistzip lossless", Kind.LOSSLESS, options, MnistzipFiles, LIBRARIES, cost=8, ours=True),
        *lossless,
        Codec("archive", "mnistzip archive, lossless", Kind.SOLID, options, MnistzipArchive, LIBRARIES, cost=8, ours=True),
    ]


def _lossy() -> list[Codec]:
    """The lossy peers."""
    lossy = Kind.LOSSY
    webp = _settings("q", "quality", (0, *FINE), method=6)
    jpeg = _settings("q", "quality", (1, *FINE), optimize=True)
    jpeg2000 = _settings("dB", "level", (20, 25, 30, 35, 40), reversible=False)
    jpegls = _settings("n", "level", (2, 5, 10, 20, 30, 45, 60))
    jpegxl = _settings("d", "distance", (25, 15, 10, 5, 2, 1), effort=7)
    avif = _settings("q", "quality", (0, 20, 40, 60, 80), subsampling="4:0:0", speed=6)
    return [
        _peer("webp", "WebP", lossy, other_codecs.webp, "Pillow libwebp", webp, 0.5),
        _peer("jpeg", "JPEG", lossy, other_codecs.jpeg, "Pillow libjpeg-turbo", jpeg),
        _peer("jpeg2000", "JPEG 2000", lossy, other_codecs.jpeg2000, "imagecodecs openjpeg", jpeg2000),
        _peer("jpegls", "JPEG-LS near-lossless", lossy, other_codecs.jpegls, "imagecodecs charls", jpegls, 0.05, "level"),
        _peer("jpegxl", "JPEG XL", lossy, other_codecs.jpegxl, "imagecodecs libjxl", jpegxl, 2.5),
        _peer("avif", "AVIF", lossy, other_codecs.avif, "Pillow libavif", avif, 3),
    ]


def _lossless() -> list[Codec]:
    """The lossless peers."""
    lossless = Kind.LOSSLESS
    webp = {"": {"lossless": True, "quality": 100, "method": 6}}
    jpeg2000: dict[str, dict[str, Any]] = {"": {"level": 0, "reversible": True}}
    jpegxl = _settings("e", "effort", (7, 10), lossless=True)
    avif: dict[str, dict[str, Any]] = {"": {"level": 100, "speed": 6}}
    return [
        _peer("raw", "raw pixels", lossless, other_codecs.raw, "python", cost=0.01),
        _peer("deflate", "deflate", lossless, other_codecs.deflate, "zlib"),
        _peer("zstd", "zstd", lossless, other_codecs.zstd, "zstandard", {"": {"level": 22}}),
        _peer(
            "zstd-dictionary",
            "zstd, trained dictionary",
            lossless,
            other_codecs.ZstdDictionary,
            "zstandard",
            {"": {"level": 22}},
        ),
        _peer("png", "PNG", lossless, other_codecs.png, "Pillow zlib"),
        _peer("png-zopfli", "PNG, zopfli", lossless, other_codecs.png_zopfli, "zopfli", cost=25),
        _peer("webp-lossless", "WebP lossless", lossless, other_codecs.webp, "Pillow libwebp", webp, 3),
        _peer("jpeg2000-lossless", "JPEG 2000 lossless", lossless, other_codecs.jpeg2000, "imagecodecs openjpeg", jpeg2000),
        _peer("jpegls-lossless", "JPEG-LS", lossless, other_codecs.jpegls, "imagecodecs charls", {"": {"level": 0}}, 0.05),
        _peer("jpegxl-lossless", "JPEG XL lossless", lossless, other_codecs.jpegxl, "imagecodecs libjxl", jpegxl, 4),
        _peer("avif-lossless", "AVIF lossless", lossless, other_codecs.avif_lossless, "imagecodecs libavif", avif, 1),
        _peer("qoi", "QOI", lossless, other_codecs.qoi, "imagecodecs qoi", cost=0.05),
    ]


def _solid() -> list[Codec]:
    """The peers that put all images into one file."""
    solid = Kind.SOLID
    webp, jpegxl = {"": {"lossless": True, "quality": 100, "method": 6}}, _settings("e", "effort", (10,), lossless=True)
    parquet = {"": {"compression": "zstd", "compression_level": 22}}
    return [
        _peer("sheet-png", "one PNG sheet", solid, sheet_of(other_codecs.png), "Pillow zlib", cost=0.5),
        _peer("sheet-webp", "one WebP sheet", solid, sheet_of(other_codecs.webp), "Pillow libwebp", webp, 10),
        _peer("sheet-jpegxl", "one JPEG XL sheet", solid, sheet_of(other_codecs.jpegxl), "imagecodecs libjxl", jpegxl, 4),
        _peer("tar-xz", "tar.xz of PGM files", solid, TarXz, "python", cost=1),
        _peer("parquet-zstd", "Parquet, zstd", solid, Parquet, "pyarrow", parquet, cost=1),
    ]


def all_jobs(model: str | None = None) -> list[BenchJob]:
    """Every codec at every setting, in the order of the tables."""
    return [
        BenchJob(codec, name, arguments)
        for codec in codecs_by_name(model).values()
        for name, arguments in codec.settings.items()
    ]


def select_jobs(patterns: Sequence[str], model: str | None = None) -> list[BenchJob]:
    """The jobs that ``--codecs`` names, in the order of the tables. PNG is always one of them, since sizes are compared with
    it.

    Args:
        patterns: names, ``name@setting``, or patterns such as ``jpeg*``, which leave out codecs on request; ``all`` for every
            codec; empty for all except those on request.

    Raises:
        OptionError: a name that matches no codec or setting.
    """
    jobs = all_jobs(model)
    if not patterns:
        return [job for job in jobs if not job.codec.on_request]
    selected = {"png"}
    for pattern in patterns:
        matching = {job.key for job in jobs if pattern == "all" or _matches(job, pattern)}
        if not matching:
            name = pattern.partition("@")[0]
            settings = ", ".join(job.setting for job in jobs if job.codec.name == name)
            names = ", ".join(dict.fromkeys(job.codec.name for job in jobs))
            choices = f"its settings are {settings}" if settings else f"known are {names}"
            raise OptionError(f"no codec {pattern!r}: {choices}")
        selected |= matching
    return [job for job in jobs if job.key in selected]


def _matches(job: BenchJob, pattern: str) -> bool:
    """True if a pattern of ``--codecs`` names a job."""
    name, at, setting = pattern.partition("@")
    named = job.codec.name == name or (fnmatchcase(job.codec.name, name) and not job.codec.on_request)
    return job.key == pattern or (named and (not at or fnmatchcase(job.setting, setting)))
