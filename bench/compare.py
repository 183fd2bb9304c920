"""Compare two benchmarks of the same images, and find what became worse than allowed."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group, RenderableType

from mnistzip.bench.curves import CAN_INTERPOLATE, bd_rate, curve_of, lossy_codecs
from mnistzip.bench.report.tables import decibels, named, plain, titled
from mnistzip.bench.results import Results, Row
from mnistzip.errors import OptionError


@dataclass(frozen=True)
class Change:
    """The change of one codec and setting between two benchmarks.

    Attributes:
        old, new: its rows; None where it was not measured.
        size: change of the mean size in percent.
        error: change of the mean squared error in percent; infinite if the files are no longer lossless.
        encode, decode: change of the processor time per image in percent.
        worse: texts that name what became worse than allowed.
    """

    old: Row | None
    new: Row | None
    size: float | None
    error: float | None
    encode: float | None
    decode: float | None
    worse: list[str]


def changes(old: Results, new: Results, limit: float, speed_limit: float | None = None) -> list[Change]:
    """The change of every row.

    Args:
        limit: percent by which sizes and squared errors may increase.
        speed_limit: percent by which processor time may increase; None for any, as it differs between machines.

    Raises:
        OptionError: the benchmarks are of different images.
    """
    if old.about["data"]["sha256"] != new.about["data"]["sha256"]:
        sources = [f"{result.about['data']['images']} of {result.about['data']['source']}" for result in (old, new)]
        raise OptionError(f"the benchmarks are of different images: {' and '.join(sources)}")
    before, after = ({row.key: row for row in result.rows} for result in (old, new))
    return [_change(before.get(key), after.get(key), limit, speed_limit) for key in {**before, **after}]


def _change(old: Row | None, new: Row | None, limit: float, speed_limit: float | None) -> Change:
    """The change of one row."""
    if old is None or new is None or old.error or new.error:
        gone = old is not None and not old.error and (new is None or new.error is not None)
        return Change(old, new, None, None, None, None, ["no longer measured"] if gone else [])
    size = _percent(old.mean_bytes, new.mean_bytes)
    error = _error_percent(old.psnr_db, new.psnr_db)
    encode = _percent(new.encode_per_second, old.encode_per_second)
    decode = _percent(new.decode_per_second, old.decode_per_second)
    worse = [f"{name} {value:+.1f}%" for name, value in (("size", size), ("squared error", error)) if _above(value, limit)]
    if speed_limit is not None:
        times = (("encoding time", encode), ("decoding time", decode))
        worse += [f"{name} {value:+.1f}%" for name, value in times if _above(value, speed_limit)]
    return Change(old, new, size, error, encode, decode, worse)


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _percent(old: float | None, new: float | None) -> float | None:
    return None if old is None or new is None else 100 * (new / old - 1)


def _error_percent(old: float | None, new: float | None) -> float | None:
    """Change of the mean squared error in percent, from two PSNR; None is lossless."""
    if old is None or new is None:
        return 0.0 if old is new else (float("inf") if old is None else -100.0)
    return 100 * (10 ** ((old - new) / 10) - 1)


def show(old: Results, new: Results, rows: list[Change]) -> RenderableType:
    """The changes as tables of at most 100 columns."""
    table = plain("codec", "bytes", "", "dB", "encode", "decode")
    table.add_column("worse", style="red")
    for change in rows:
        row = change.new or change.old
        assert row is not None
        if change.old is None or change.new is None:
            table.add_row(named(row), "new" if change.old is None else "gone", "", "", "", "", "; ".join(change.worse))
            continue
        if change.size is None:
            table.add_row(named(row), "error", "", "", "", "", "; ".join(change.worse))
            continue
        table.add_row(
            named(row),
            f"{change.old.mean_bytes:.1f} > {change.new.mean_bytes:.1f}",
            f"{change.size:+.2f}%",
            f"{decibels(change.old)} > {decibels(change.new)}",
            _signed(change.encode),
            _signed(change.decode),
            "; ".join(change.worse),
        )
    parts = [titled("what changed", table, "encode, decode: change of processor time")]
    return Group(*parts, *([_curves(old, new)] if CAN_INTERPOLATE else []))


def _curves(old: Results, new: Results) -> RenderableType:
    """The BD-rate of each lossy codec between the two benchmarks."""
    table = plain("codec", "change of size")
    labels = lossy_codecs(new.rows)
    for name in [name for name in lossy_codecs(old.rows) if name in labels]:
        result = bd_rate(curve_of(old.rows, name), curve_of(new.rows, name))
        if result is not None:
            table.add_row(labels[name].label, f"{result[0]:+.2f}%")
    return titled("BD-rate, new against old", table)


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.0f}%"
