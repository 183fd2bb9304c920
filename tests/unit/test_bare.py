"""Bare streams: the coder's bytes alone, for links whose ends agree on everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.cli.main import run
from mnistzip.errors import FormatError, LimitError, OptionError
from mnistzip.types import Pixels


@pytest.mark.parametrize("bits", [0, 1, 8, 15, 16, 23])
def test_a_bare_stream_gives_the_pixels_of_the_file(bits: int, digits: Pixels) -> None:
    streams = mnistzip.encode_many(digits[:16], quality=40, bare=True, check_bits=bits)
    files = mnistzip.encode_many(digits[:16], quality=40, model="mnist")
    for stream, file in zip(streams, files, strict=True):
        assert (mnistzip.decode_bare(stream, quality=40, check_bits=bits) == mnistzip.decode(file)).all()
    if bits == 16:
        assert [len(stream) + 3 for stream in streams] == [len(file) for file in files]
    if bits == 8:
        saved = np.mean([len(file) - len(stream) for stream, file in zip(streams, files, strict=True)])
        assert 3.6 < saved < 4.4  # three bytes of header and one of check


def test_any_size_goes_bare(digits: Pixels) -> None:
    wide = np.hstack(list(digits[:20]))[:20]
    stream = mnistzip.encode(wide, bare=True, effort=0)
    assert (
        mnistzip.decode_bare(stream, shape=wide.shape) == mnistzip.decode(mnistzip.encode(wide, effort=0, model="mnist"))
    ).all()


@pytest.mark.parametrize("other", [{"quality": 41}, {"shape": (27, 28)}, {"model": "classic"}])
def test_ends_that_do_not_agree_are_told(other: dict[str, Any], digit: Pixels) -> None:
    agreed: dict[str, Any] = {"quality": 40, "check_bits": 16}
    stream = mnistzip.encode(digit, bare=True, **agreed)
    with pytest.raises(FormatError, match="damaged"):
        mnistzip.decode_bare(stream, **(agreed | other))


def test_a_check_weaker_than_agreed_is_told(digits: Pixels) -> None:
    output = 0
    for stream in mnistzip.encode_many(digits[:20], bare=True, check_bits=16):
        try:
            mnistzip.decode_bare(stream, check_bits=23)
        except FormatError:
            output += 1
    assert output >= 10  # the others' checks happened to have room for 23 bits


def test_damage_passes_as_rarely_as_the_check_bits_say(digit: Pixels) -> None:
    stream = mnistzip.encode(digit, bare=True, check_bits=8)
    random = np.random.default_rng(5)
    passed = 0
    for _ in range(400):
        damaged = bytearray(stream)
        damaged[random.integers(len(stream))] ^= int(random.integers(1, 256))
        try:
            mnistzip.decode_bare(bytes(damaged))
            passed += 1
        except FormatError:
            pass
    assert passed <= 8  # 1.6 expected at most


def test_what_makes_no_sense_bare_is_refused(digit: Pixels) -> None:
    with pytest.raises(OptionError, match="neither lossless nor max_error nor min_psnr"):
        mnistzip.encode(digit, bare=True, lossless=True)
    with pytest.raises(OptionError, match="check_bits is 24"):
        mnistzip.encode(digit, bare=True, check_bits=24)
    with pytest.raises(OptionError, match="side is 0"):
        mnistzip.decode_bare(b"\x80\0\0", shape=(0, 28))
    with pytest.raises(FormatError, match="cut short"):
        mnistzip.decode_bare(b"")


def test_a_budget_is_met_at_the_agreed_quality(digits: Pixels) -> None:
    free = mnistzip.encode_many(digits[:12], quality=20, bare=True)
    limit = max(map(len, free)) - 1
    tight = mnistzip.encode_many(digits[:12], quality=20, bare=True, max_bytes=limit, effort=5)
    assert max(map(len, tight)) <= limit
    decoded = [mnistzip.decode_bare(stream, quality=20) for stream in tight]
    assert mnistzip.psnr(digits[:12], np.stack(decoded)) > 20
    with pytest.raises(LimitError, match="at quality 20"):
        mnistzip.encode(digits[0], quality=20, bare=True, max_bytes=2, effort=0)


def test_the_command_line_goes_there_and_back(digit_png: Path, digit: Pixels, capsys: pytest.CaptureFixture[str]) -> None:
    agreed = ["--bare", "--check-bits", "12"]
    assert run(["compress", str(digit_png), *agreed, "-q", "30", "-v"]) == 0
    stream = digit_png.with_suffix(".bare")
    assert stream.read_bytes() == mnistzip.encode(digit, quality=30, bare=True, check_bits=12)
    assert f"{stream.stat().st_size} bytes" in capsys.readouterr().out
    back = digit_png.with_name("back.png")
    assert run(["decompress", str(stream), *agreed, "-q", "30", "-o", str(back)]) == 0
    assert (np.asarray(Image.open(back)) == mnistzip.decode_bare(stream.read_bytes(), quality=30, check_bits=12)).all()
    assert run(["decompress", str(stream), *agreed, "-q", "31", "-f", "-o", str(back)]) == 1
    wide = digit_png.with_name("wide.png")
    Image.fromarray(np.hstack([digit, digit])).save(wide)
    assert run(["compress", str(wide), "--bare"]) == 0
    assert run(["decompress", "--bare", str(wide.with_suffix(".bare")), "--size", "56", "28", "-f"]) == 0
    assert np.asarray(Image.open(wide)).shape == (28, 56)
    capsys.readouterr()


def test_the_command_line_says_what_does_not_go_together(digit_png: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for says, arguments in (
        ("leave out --lossless, --max-error and --min-psnr", ["compress", "--bare", "--lossless"]),
        ("--check-bits needs --bare", ["compress", "--check-bits", "9"]),
        ("--quality, --size and --check-bits need --bare", ["decompress", "-q", "9"]),
    ):
        assert run([*arguments, str(digit_png)]) == 2
        assert says in capsys.readouterr().err
