"""Pillow opens and saves .cae files, and imageio through it."""

from __future__ import annotations

import io
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image, ImageFile, UnidentifiedImageError

import mnistzip
import mnistzip.plugins.pillow as plugin
from mnistzip import pretrained
from mnistzip.errors import ImageError
from mnistzip.io.image_file import parse_image
from mnistzip.types import Pixels
from support.paths import VECTORS

INVALID = sorted((VECTORS / "invalid").glob("*.cae"))


@pytest.fixture
def packed(digit: Pixels) -> bytes:
    return mnistzip.encode(digit, effort=0)


@pytest.fixture
def path(packed: bytes, tmp_path: Path) -> Path:
    file = tmp_path / "d.cae"
    file.write_bytes(packed)
    return file


def test_a_file_opens_by_its_header_and_its_pixels_come_when_they_are_needed(packed: bytes, path: Path) -> None:
    with Image.open(path) as im:
        assert (im.format, im.mode, im.size) == ("CAE", "L", (28, 28))
        assert im.get_format_mimetype() == "image/x-mnistzip"
        assert im.info == {"model": "mnist", "lossless": False, "quality": 50}
        assert isinstance(im, plugin.CaeImageFile)
        assert im._coded
        assert np.array_equal(np.asarray(im), mnistzip.decode(packed))
        assert not im._coded
        assert im.fp is None  # as Pillow does with a file of its own once it is read
        im.putpixel((0, 0), 7)
        assert im.getpixel((0, 0)) == 7


def test_a_damaged_payload_opens_and_fails_when_its_pixels_are_needed(packed: bytes) -> None:
    im = Image.open(io.BytesIO(packed[:-2]))
    assert im.size == (28, 28)
    for _ in range(2):
        with pytest.raises(OSError, match=r"damaged|cut short"):
            im.load()


@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (30, 57)])
def test_what_is_saved_without_loss_comes_back(shape: tuple[int, int], tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "d.cae", lossless=True)
    with Image.open(tmp_path / "d.cae") as im:
        assert im.info["lossless"]
        assert im.size == shape[::-1]
        assert np.array_equal(np.asarray(im), pixels)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quality": 80, "effort": 0},
        {"lossless": True},
        {"max_bytes": 20, "effort": 0},
        {"min_psnr": 26, "effort": 1},
        {"model": "classic", "effort": 0},
    ],
)
def test_saving_writes_the_very_file_that_encode_gives(digit: Pixels, options: dict[str, object]) -> None:
    out = io.BytesIO()
    Image.fromarray(digit).save(out, "CAE", **options)
    assert out.getvalue() == mnistzip.encode(digit, **options)  # type: ignore[arg-type]


def test_options_of_other_formats_are_ignored_as_pillow_does(digit: Pixels) -> None:
    out = io.BytesIO()
    Image.fromarray(digit).save(out, "CAE", optimize=True, effort=0)
    assert out.getvalue() == mnistzip.encode(digit, effort=0)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"])
def test_other_modes_are_refused_as_pillow_does_and_leave_no_file(mode: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"^cannot write mode {mode} as CAE$"):
        Image.new(mode, (28, 28)).save(tmp_path / "d.cae")
    assert not list(tmp_path.iterdir())


def test_an_option_out_of_range_is_a_value_error_and_a_budget_missed_an_os_error(digit: Pixels, tmp_path: Path) -> None:
    im = Image.fromarray(digit)
    with pytest.raises(ValueError, match="quality"):
        im.save(tmp_path / "d.cae", quality=101)
    with pytest.raises(OSError, match="cannot write as CAE"):
        im.save(tmp_path / "d.cae", max_bytes=4)
    with pytest.raises(OSError, match="no model"):
        im.save(tmp_path / "d.cae", model="nosuch")
    with pytest.raises(OSError, match="0x0"):
        Image.new("L", (0, 0)).save(tmp_path / "d.cae")
    assert not list(tmp_path.iterdir())


def test_several_images_are_not_dropped_in_silence(digit: Pixels, tmp_path: Path) -> None:
    im = Image.fromarray(digit)
    with pytest.raises(OSError, match="several images"):
        im.save(tmp_path / "d.cae", save_all=True, append_images=[im])
    im.save(tmp_path / "d.cae", save_all=True, effort=0)
    with Image.open(tmp_path / "d.cae") as back:
        assert back.size == (28, 28)


@pytest.mark.parametrize("content", [b"", b"\xca", b"hello", b"\x89PNG\r\n\x1a\n", b"\xca\xfe\xba\xbe"])
def test_what_is_no_cae_file_is_unidentified(content: bytes) -> None:
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(content), formats=["CAE"])


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_every_invalid_file_is_an_os_error_with_its_cause(file: Path) -> None:
    if file.stem in {"too-many-pixels", "stored-too-many-pixels"}:  # 65535x65535: Pillow itself refuses that
        with pytest.raises(Image.DecompressionBombError):
            Image.open(file)
        return
    with pytest.raises(OSError, match=r".") as caught, Image.open(file, formats=["CAE"]) as im:
        im.load()
    assert isinstance(caught.value, UnidentifiedImageError) or isinstance(caught.value.__cause__, mnistzip.MnistzipError)
    with pytest.raises(OSError, match=r"."), Image.open(file, formats=["CAE"]) as im:
        im.verify()


def test_every_prefix_and_every_flipped_bit_is_an_os_error_or_the_same_pixels(packed: bytes) -> None:
    pixels = mnistzip.decode(packed)
    flips = [bytes(b ^ (1 << bit) * (at == n) for at, b in enumerate(packed)) for n in range(len(packed)) for bit in range(8)]
    for content in [packed[:end] for end in range(len(packed))] + flips + [packed + b"\0", packed + packed]:
        try:
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(content), formats=["CAE"])), pixels)
        except OSError:
            continue


def test_a_newer_version_and_what_holds_no_single_image_say_so(packed: bytes) -> None:
    with pytest.raises(OSError, match="needs a newer mnistzip"):
        Image.open(io.BytesIO(b"\xca\xe2" + packed[2:]))
    with pytest.raises(OSError, match="as one image"):
        Image.open(io.BytesIO(b"\xca\xe1\x70" + packed[2:]))


def test_a_bound_is_an_option_and_part_of_the_information() -> None:
    grey = (np.random.default_rng(1).integers(0, 30, (28, 28)) + 100).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "CAE", max_error=6)
    with Image.open(io.BytesIO(out.getvalue())) as opened:
        assert (opened.info["max_error"], opened.info["lossless"]) == (6, False)
        assert np.abs(np.asarray(opened).astype(int) - grey).max() <= 6


def test_verify_finds_damage_and_closes_the_file(packed: bytes, path: Path) -> None:
    im = Image.open(path)
    im.verify()
    assert im.fp is None
    broken = Image.open(io.BytesIO(packed[:-1] + bytes([packed[-1] ^ 1])))
    with pytest.raises(OSError, match="damaged"):
        broken.verify()
    assert broken.fp is None


def test_pillows_limit_on_pixels_holds_when_a_file_is_opened(packed: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(packed))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(packed))


def test_our_own_limit_holds_where_pillows_is_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = bytes.fromhex("cae1e1 ffff03 ffff03 0000")  # deflated, 65535x65535
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(bomb))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    im = Image.open(io.BytesIO(bomb))
    with pytest.raises(OSError, match="limit"):
        im.load()


def test_the_format_is_registered_once_whatever_is_called() -> None:
    plugin.register()
    assert Image.ID.count("CAE") == 1
    assert Image.registered_extensions()[".cae"] == "CAE"
    assert Image.MIME["CAE"] == "image/x-mnistzip"


def test_file_objects_pipes_copies_pickles_and_the_parser_work(packed: bytes, path: Path) -> None:
    pixels = mnistzip.decode(packed)
    with path.open("rb") as file, Image.open(file) as im:
        assert np.array_equal(np.asarray(im), pixels)
        assert not file.closed
        assert np.array_equal(np.asarray(im.copy()), pixels)
        assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(im))), pixels)

    class Pipe(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return packed if size < 0 else packed[:size]

        def seek(self, offset: int, whence: int = 0) -> int:
            raise io.UnsupportedOperation

    assert np.array_equal(np.asarray(Image.open(Pipe())), pixels)  # type: ignore[arg-type]
    parser = ImageFile.Parser()
    for byte in packed:
        parser.feed(bytes([byte]))
    assert np.array_equal(np.asarray(parser.close()), pixels)


def test_an_image_saved_over_itself_keeps_its_pixels(packed: bytes, path: Path) -> None:
    with Image.open(path) as im:
        im.save(path, lossless=True)
    assert np.array_equal(mnistzip.decode(path.read_bytes()), mnistzip.decode(packed))


def test_threads_open_and_save_side_by_side(digits: Pixels, tmp_path: Path) -> None:
    def there_and_back(number: int) -> bool:
        file = tmp_path / f"{number}.cae"
        Image.fromarray(digits[number]).save(file, effort=0)
        with Image.open(file) as im:
            return np.array_equal(np.asarray(im), mnistzip.decode(mnistzip.encode(digits[number], effort=0)))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(there_and_back, range(32)))


def test_a_custom_model_is_given_to_load(digit: Pixels, tmp_path: Path) -> None:
    with np.load(Path(pretrained.__file__).parent / "classic.npz") as arrays:
        changed = dict(arrays)
    name = next(name for name in changed if name.startswith("prior.") and name.endswith("head_bias"))
    changed[name] = changed[name] + 1
    np.savez(tmp_path / "mine.npz", **changed)
    out = io.BytesIO()
    Image.fromarray(digit).save(out, "CAE", model=tmp_path / "mine.npz", effort=0)
    im = Image.open(out)
    assert isinstance(im, plugin.CaeImageFile)
    with pytest.raises(OSError, match=r"load\(model=PATH\)"):
        im.load()
    im.load(model=tmp_path / "mine.npz")
    assert np.array_equal(np.asarray(im), mnistzip.decode(out.getvalue(), model=tmp_path / "mine.npz"))


def test_the_command_line_still_tells_a_cae_file_from_an_image(packed: bytes) -> None:
    with pytest.raises(ImageError, match="decompress it"):
        parse_image("d.cae", packed)


def test_imageio_reads_and_writes_through_pillow(digit: Pixels, tmp_path: Path) -> None:
    file = tmp_path / "d.cae"
    iio.imwrite(file, digit, plugin="pillow", quality=80, effort=0, model="mnist")
    assert file.read_bytes() == mnistzip.encode(digit, quality=80, effort=0, model="mnist")
    back = iio.imread(file, plugin="pillow")
    assert np.array_equal(back, mnistzip.decode(file.read_bytes()))
    assert np.array_equal(iio.imread(file), back)  # it is found without naming the plugin, too
    assert np.array_equal(iio.imread(file.read_bytes(), plugin="pillow"), back)
    assert iio.improps(file, plugin="pillow").shape == (28, 28)
    assert iio.immeta(file, plugin="pillow")["quality"] == 80
    content = iio.imwrite("<bytes>", digit, plugin="pillow", extension=".cae", lossless=True)
    assert np.array_equal(mnistzip.decode(content), digit)
    with pytest.raises(OSError, match="cannot write mode RGB"):
        iio.imwrite(tmp_path / "rgb.cae", np.zeros((28, 28, 3), np.uint8), plugin="pillow")
    with pytest.raises(OSError, match="several images"):
        iio.imwrite(tmp_path / "two.cae", np.zeros((2, 28, 28), np.uint8), plugin="pillow", is_batch=True)
