"""Pictures of all kinds: the grey levels are those that the file states, whatever the bits, the polarity and the container."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageCms

import mnistzip
from mnistzip.io.image_file import parse_image

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(values: NDArray[Any], bits: int, colour: int = 0, more: bytes = b"") -> bytes:
    """A PNG of samples ``(H, W)`` or ``(H, W, channels)`` of so many bits."""
    height, width = values.shape[:2]
    flat = values.reshape(height, -1)
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in flat]
    else:
        rows = [np.packbits(np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, -bits:]).tobytes() for row in flat]
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def tiff(values: NDArray[Any], **options: Any) -> bytes:
    if options.get("compression") in ("lzw", "packbits"):
        pytest.importorskip("imagecodecs")  # tifffile needs it to write these
    out = io.BytesIO()
    tifffile.imwrite(out, values, **options)
    return out.getvalue()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize(
    "exif", [b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0junk", b"junk", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
def test_a_sound_image_with_broken_exif_is_not_lost(kind: str, exif: bytes) -> None:
    flat = np.full((16, 16), 77, np.uint8)
    options = {"exif": exif} | ({"lossless": True} if kind == "WEBP" else {})
    assert (parse_image("x", saved(Image.fromarray(flat), kind, **options)) == flat).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_png_of_few_bits_keeps_its_levels(bits: int) -> None:
    values = RAMP >> (8 - bits)
    expected = values.astype(int) * 255 // ((1 << bits) - 1)
    assert (parse_image("x", png(values, bits)) == expected).all()
    gamma = chunk(b"gAMA", struct.pack(">I", 100_000))
    assert (parse_image("x", png(values, bits, more=gamma)) == expected).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_transparent_grey_of_any_bits_is_seen_and_put_on_white(bits: int) -> None:
    values = (RAMP.astype(np.uint16) * 257) >> (16 - bits)
    clear = int(values[0, 0])  # black
    content = png(values, bits, more=chunk(b"tRNS", struct.pack(">H", clear)))
    with pytest.raises(mnistzip.ImageError, match="transparent pixels"):
        parse_image("x", content)
    expected = np.where(values == clear, 255, values.astype(float) * 255 / ((1 << bits) - 1))
    assert (parse_image("x", content, convert=True) == np.round(expected)).all()


@pytest.mark.parametrize("bits", [2, 4, 16])
def test_a_transparent_grey_that_no_pixel_has_takes_nothing_away(bits: int) -> None:
    values = np.full((4, 4), 1, np.uint16)
    content = png(values, bits, more=chunk(b"tRNS", struct.pack(">H", 2)))
    if bits == 16:
        assert (parse_image("x", content, convert=True) == 0).all()
    else:
        assert (parse_image("x", content) == 255 // ((1 << bits) - 1)).all()


def test_transparent_colours_of_16_bits_are_seen() -> None:
    values = np.full((4, 4, 3), 0x1234, np.uint16)
    values[0, 0] = 0xFFFF
    content = png(values, 16, 2, chunk(b"tRNS", struct.pack(">HHH", *[0x1234] * 3)))
    with pytest.raises(mnistzip.ImageError, match=r"more than 8 bits.* and has transparent"):
        parse_image("x", content)
    assert (parse_image("x", content, convert=True) == 255).all()


DIM = RAMP.astype(np.uint16) * 100  # its brightest pixel is far from white


@pytest.mark.parametrize(
    "kind", ["pgm", "plain pgm", "png", "tiff", "big-endian tiff", "inverted tiff", "inverted big-endian tiff"]
)
def test_brightness_of_16_bits_does_not_hang_on_the_brightest_pixel(kind: str) -> None:
    contents = {
        "pgm": lambda: b"P5 16 16 65535\n" + DIM.astype(">u2").tobytes(),
        "plain pgm": lambda: b"P2 16 16 65535\n" + " ".join(map(str, DIM.ravel())).encode() + b"\n",
        "png": lambda: png(DIM, 16),
        "tiff": lambda: tiff(DIM),
        "big-endian tiff": lambda: tiff(DIM, byteorder=">"),
        "inverted tiff": lambda: tiff(65535 - DIM, photometric="miniswhite"),
        "inverted big-endian tiff": lambda: tiff(65535 - DIM, photometric="miniswhite", byteorder=">"),
    }
    content = contents[kind]()
    if kind == "inverted big-endian tiff":  # which Pillow does not open
        with pytest.raises(mnistzip.ImageError, match=r"not a readable image|damaged"):
            parse_image("x", content, convert=True)
        return
    with pytest.raises(mnistzip.ImageError, match="more than 8 bits"):
        parse_image("x", content)
    assert (parse_image("x", content, convert=True) == np.round(DIM / 257)).all()


@pytest.mark.parametrize("most", [1, 3, 100, 255, 256, 1023, 65535])
def test_white_of_a_pgm_is_what_its_header_says(most: int) -> None:
    values = RAMP.astype(np.uint32) * most // 510  # up to half of white
    kind = ">u2" if most > 255 else "u1"
    content = f"P5 16 16 {most}\n".encode() + values.astype(kind).tobytes()
    expected = values / most * 255
    assert abs(parse_image("x", content, convert=True) - expected).max() <= 0.51


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
def test_tiff_of_either_polarity_comes_out_right(bits: int, inverted: bool, compression: str | None) -> None:
    values = (RAMP > 100) if bits == 1 else RAMP
    photometric = "miniswhite" if inverted else "minisblack"
    stored = (~values if bits == 1 else 255 - values) if inverted else values
    content = tiff(stored, photometric=photometric, compression=compression)
    assert (parse_image("x", content) == (values * np.uint8(255) if bits == 1 else values)).all()


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_deflate"])
def test_faxes_come_out_black_on_white(compression: str) -> None:
    page = np.full((16, 32), 255, np.uint8)
    page[4:6, 3:20] = 0
    content = saved(Image.fromarray(page).convert("1"), "TIFF", compression=compression)
    assert (parse_image("x", content) == page).all()


@pytest.mark.parametrize(
    ("dtype", "white"), [(np.int8, 127), (np.int16, 32767), (np.int32, (1 << 31) - 1), (np.uint32, (1 << 32) - 1)]
)
def test_tiff_of_other_integers_is_refused_and_converts_by_its_type(dtype: Any, white: int) -> None:
    values = np.array([[0, white // 2, white]], dtype)
    if np.iinfo(dtype).min:
        values = np.concatenate([values, -values])
    content = tiff(values)
    with pytest.raises(mnistzip.ImageError, match=r"signed samples|more than 8 bits"):
        parse_image("x", content)
    result = parse_image("x", content, convert=True)
    assert abs(result[0].astype(int) - [0, 127, 255]).max() <= 1
    assert (result[1:] == 0).all()


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floats_have_the_least_usual_white_that_covers_them(white: float) -> None:
    values = (RAMP / 255 * white).astype(np.float32)
    content = tiff(values)
    assert (parse_image("x", content, convert=True) == RAMP).all()
    values[0, 0] = np.nan
    assert (parse_image("x", tiff(values), convert=True) == RAMP).all()


def test_more_bits_behind_grey_colours_are_not_cut_off_in_silence() -> None:
    values = np.repeat(RAMP.astype(np.uint16)[..., None] * 257 - (RAMP[..., None] > 0), 3, axis=2)
    ppm = b"P6 16 16 65535\n" + values.astype(">u2").tobytes()
    for content in (tiff(values, photometric="rgb"), png(values, 16, 2), ppm):
        with pytest.raises(mnistzip.ImageError, match="more than 8 bits"):
            parse_image("x", content)
        assert abs(parse_image("x", content, convert=True).astype(int) - RAMP).max() <= 1


GREY_MODES = {
    "RGB": lambda: Image.fromarray(RAMP).convert("RGB"),
    "RGBA": lambda: Image.fromarray(RAMP).convert("RGBA"),
    "LA": lambda: Image.fromarray(RAMP).convert("LA"),
    "La": lambda: Image.fromarray(RAMP).convert("LA").convert("La"),
    "RGBa": lambda: Image.fromarray(RAMP).convert("RGBA").convert("RGBa"),
    "P": lambda: Image.fromarray(RAMP).convert("P"),
    "PA": lambda: Image.fromarray(RAMP).convert("P").convert("PA"),
    "YCbCr": lambda: Image.fromarray(RAMP).convert("YCbCr"),
    "CMYK": lambda: Image.merge("CMYK", [Image.new("L", (16, 16))] * 3 + [Image.fromarray(255 - RAMP)]),
}


@pytest.mark.parametrize("mode", GREY_MODES)
def test_grey_in_every_mode_is_taken_as_it_is(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = GREY_MODES[mode]()
    assert image.mode == mode
    if mode in {"La", "RGBa", "PA", "YCbCr"}:  # written by few: given to the reader as Pillow opens such files
        image.verify = lambda: None
        monkeypatch.setattr(Image, "open", lambda _file: image)
        assert (parse_image("x", b"?") == RAMP).all()
        return
    kind = "TIFF" if mode == "CMYK" else "PNG"
    assert (parse_image("x", saved(image, kind)) == RAMP).all()


def test_lab_is_converted_and_not_called_damaged() -> None:
    grey = np.repeat(np.repeat(np.array([[0, 64, 128, 255]], np.uint8), 4, axis=0)[..., None], 3, axis=2)
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    lab = ImageCms.applyTransform(Image.fromarray(grey), ImageCms.buildTransform(*profiles, "RGB", "LAB"))
    assert lab is not None
    content = saved(lab, "TIFF")
    with pytest.raises(mnistzip.ImageError, match="has colours: --convert"):
        parse_image("x", content)
    assert abs(parse_image("x", content, convert=True).astype(int) - grey[..., 0]).max() <= 2


def test_a_palette_with_transparency_is_put_on_white() -> None:
    image = Image.new("P", (3, 1))
    image.putdata([0, 1, 2])
    image.putpalette([10, 10, 10, 20, 20, 20, 30, 30, 30])
    content = saved(image, "PNG", transparency=b"\xff\x00\xff")
    with pytest.raises(mnistzip.ImageError, match="transparent"):
        parse_image("x", content)
    assert parse_image("x", content, convert=True).tolist() == [[10, 255, 30]]
    opaque = saved(image, "PNG", transparency=b"\xff\xff\xff")
    assert parse_image("x", opaque).tolist() == [[10, 20, 30]]


def test_white_of_12_bits_is_4095() -> None:
    values = np.array([[0, 2048], [4095, 16]])
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.tolist())
    tags = [(256, 2), (257, 2), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1), (278, 2), (279, len(packed))]
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    start = 8 + len(packed) + len(packed) % 2
    content = struct.pack("<2sHI", b"II", 42, start) + packed.ljust(start - 8, b"\0")
    content += struct.pack("<H", len(tags)) + entries + bytes(4)
    with pytest.raises(mnistzip.ImageError, match="more than 8 bits"):
        parse_image("x", content)
    assert parse_image("x", content, convert=True).tolist() == [[0, 128], [255, 1]]
