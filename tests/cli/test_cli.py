from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import mnistzip
from mnistzip.cli.main import COMMANDS, cli, run
from mnistzip.types import Pixels
from support.paths import DATA, DIGITS

REPORT = ["input", "output", "raw_bytes", "png_bytes", "bytes", "ratio", "ratio_vs_png", "bpp", "psnr_db"]


def mz(*arguments: object, stdin: bytes | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the command as a user does."""
    command = [sys.executable, "-m", "mnistzip", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, check=False)


def fails(capsys: pytest.CaptureFixture[str], code: int, says: str, *arguments: object) -> None:
    """The command leaves with this code and one line on stderr that says so."""
    assert run([str(argument) for argument in arguments]) == code
    output = capsys.readouterr().err
    assert says in output
    if code == 1:
        assert output.startswith("mnistzip: ")
        assert output.count("\n") == 1


def save(pixels: Pixels, path: Path) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def test_compress_and_decompress_a_digit(digit_png: Path, digit: Pixels, capsys: pytest.CaptureFixture[str]) -> None:
    os.utime(digit_png, ns=(10**18, 10**18))
    assert run(["compress", str(digit_png)]) == 0
    output = capsys.readouterr().out
    packed = digit_png.with_suffix(".cae")
    assert f"{packed.stat().st_size} bytes" in output
    assert "784 bytes raw" in output
    assert "dB" in output
    assert packed.read_bytes() == mnistzip.encode(digit)
    assert packed.stat().st_mtime_ns == digit_png.stat().st_mtime_ns == 10**18
    back = digit_png.with_name("back.png")
    assert run(["decompress", str(packed), "-o", str(back)]) == 0
    assert (np.asarray(Image.open(back)) == mnistzip.decode(packed.read_bytes())).all()
    assert digit_png.exists()
    assert packed.exists()


def test_json_has_the_promised_keys(digit_png: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["compress", str(digit_png), "--json", "-q", "70"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert list(row) == REPORT
    size = digit_png.with_suffix(".cae").stat().st_size
    assert row["bytes"] == size
    assert row["raw_bytes"] == 784
    assert row["ratio"] == round(784 / size, 3)
    assert row["ratio_vs_png"] == round(row["png_bytes"] / size, 3)
    assert row["bpp"] == round(8 * size / 784, 4)
    assert run(["compress", str(digit_png), "--json", "--lossless", "-f"]) == 0
    assert json.loads(capsys.readouterr().out)["psnr_db"] is None


def test_streams(digit_png: Path, digit: Pixels) -> None:
    packed = mz("compress", "-", "-o", "-", stdin=digit_png.read_bytes())
    assert packed.returncode == 0
    assert packed.stdout == mnistzip.encode(digit)
    assert b"784 bytes raw" in packed.stderr
    image = mz("decompress", "-", stdin=packed.stdout)
    assert image.stdout.startswith(b"\x89PNG")
    as_npy = mz("decompress", "-", "--to", "npy", stdin=packed.stdout)
    assert as_npy.stdout.startswith(b"\x93NUMPY")


def test_a_folder_gives_one_file_each_in_the_same_places(
    tmp_path: Path, digits: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    source, packed, back = tmp_path / "in", tmp_path / "packed", tmp_path / "back"
    (source / "deep").mkdir(parents=True)
    for index in range(3):
        save(digits[index], source / f"{index}.png")
    save(digits[3], source / "deep" / "3.bmp")
    (source / "notes.txt").write_text("no image")
    assert run(["compress", "-r", str(source), "-o", str(packed), "-T", "2"]) == 0
    assert "4 images" in capsys.readouterr().out
    assert sorted(str(p.relative_to(packed)) for p in packed.rglob("*.cae")) == ["0.cae", "1.cae", "2.cae", "deep/3.cae"]
    assert (packed / "deep" / "3.cae").read_bytes() == mnistzip.encode(digits[3])
    assert run(["decompress", "-r", str(packed), "-o", str(back), "--to", "pgm"]) == 0
    assert (np.asarray(Image.open(back / "deep" / "3.pgm")) == mnistzip.decode(mnistzip.encode(digits[3]))).all()
    assert run(["test", "-r", str(packed)]) == 0


def test_one_bad_image_does_not_stop_the_others(tmp_path: Path, digits: Pixels, capsys: pytest.CaptureFixture[str]) -> None:
    good = [save(digits[index], tmp_path / f"{index}.png") for index in range(2)]
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image at all")
    assert run(["compress", *map(str, [good[0], bad, good[1]])]) == 1
    output = capsys.readouterr()
    assert "bad.png" in output.err
    assert "2 images" in output.out
    assert all(path.with_suffix(".cae").exists() for path in good)
    assert run(["compress", "-f", "--max-bytes", "1", *map(str, good)]) == 1
    assert capsys.readouterr().err.count("more than the 1 allowed") == 2


def test_existing_files_are_kept(digit_png: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = digit_png.with_suffix(".cae")
    packed.write_bytes(b"precious")
    fails(capsys, 1, "-f overwrites it", "compress", digit_png)
    assert packed.read_bytes() == b"precious"
    assert run(["compress", "-f", "--quiet", str(digit_png)]) == 0
    assert packed.read_bytes() != b"precious"
    assert capsys.readouterr().out == ""
    fails(capsys, 1, "is an input", "compress", "-f", digit_png, "-o", digit_png)
    folder = digit_png.with_name("folder.cae")
    folder.mkdir()
    assert run(["compress", str(digit_png), "-o", str(folder)]) == 0
    assert (folder / "digit.cae").exists()


def test_a_link_is_written_through_and_a_device_is_not_replaced(digit_png: Path) -> None:
    real, link = digit_png.with_name("real.cae"), digit_png.with_name("link.cae")
    real.write_bytes(b"old")
    link.symlink_to(real)
    assert run(["compress", "-f", str(digit_png), "-o", str(link)]) == 0
    assert link.is_symlink()
    assert real.read_bytes()[:2] == b"\xca\xe1"
    assert run(["compress", str(digit_png), "-o", os.devnull]) == 0
    assert Path(os.devnull).is_char_device()


def damaged(digit: Pixels) -> dict[str, tuple[bytes, str]]:
    file = mnistzip.encode(digit, effort=0)
    flipped = bytearray(file)
    flipped[-1] ^= 4
    return {
        "truncated": (file[:-2], "damaged"),
        "flipped": (bytes(flipped), "damaged"),
        "png": ((DATA / "digit.png").read_bytes(), "89 50 4e 47"),
        "empty": (b"", "begins with nothing"),
        "model": (bytes.fromhex("cae18932") + file[3:], "shipped model 9"),
        "future": (b"\xca\xe2" + file[2:], "newer mnistzip"),
        "trailing": (file + b"!", "damaged"),
    }


@pytest.mark.parametrize("fault", ["truncated", "flipped", "png", "empty", "model", "future", "trailing"])
def test_a_bad_file_gives_one_line_and_no_output(
    fault: str, tmp_path: Path, digit: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    content, says = damaged(digit)[fault]
    bad = tmp_path / "bad.cae"
    bad.write_bytes(content)
    fails(capsys, 1, says, "decompress", bad)
    assert list(tmp_path.iterdir()) == [bad]
    fails(capsys, 1, says, "test", bad)


def rotated(pixels: Pixels, path: Path) -> Path:
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn clockwise brings it upright
    image.save(path, exif=exif)
    return path


def test_grey_in_other_clothes_is_taken_as_it_is(tmp_path: Path, digit: Pixels) -> None:
    grey = Image.fromarray(digit)
    grey.convert("RGB").save(tmp_path / "rgb.png")
    grey.convert("RGBA").save(tmp_path / "rgba.png")
    grey.convert("LA").save(tmp_path / "la.png")
    grey.convert("P").save(tmp_path / "palette.png")
    for name in ("rgb", "rgba", "la", "palette"):
        path = tmp_path / f"{name}.png"
        assert run(["compress", "--lossless", str(path)]) == 0
        assert (mnistzip.decode(path.with_suffix(".cae").read_bytes()) == digit).all(), name
    grey.convert("1").save(tmp_path / "bits.png")
    assert run(["compress", "--lossless", str(tmp_path / "bits.png")]) == 0
    assert set(np.unique(mnistzip.decode((tmp_path / "bits.cae").read_bytes()))) == {0, 255}
    assert run(["compress", "--lossless", str(rotated(digit[:20], tmp_path / "turned.png"))]) == 0
    assert (mnistzip.decode((tmp_path / "turned.cae").read_bytes()) == np.rot90(digit[:20], -1)).all()


def other_images(folder: Path, digit: Pixels) -> dict[str, tuple[Path, str]]:
    grey = Image.fromarray(digit)
    colour = Image.merge("RGB", [grey, grey.rotate(90), grey.rotate(180)])
    alpha = grey.convert("RGBA")
    alpha.putpixel((0, 0), (0, 0, 0, 7))
    images = {
        "colour.png": (colour, "has colours"),
        "palette.png": (colour.quantize(16), "has colours"),
        "cmyk.tif": (colour.convert("CMYK"), "has colours"),
        "alpha.png": (alpha, "transparent"),
        "wide.png": (Image.fromarray(digit.astype(np.uint16) * 257), "more than 8 bits"),
        "float.tif": (Image.fromarray(digit.astype(np.float32)), "more than 8 bits"),
    }
    for name, (image, _) in images.items():
        image.save(folder / name)
    grey.save(folder / "moving.gif", save_all=True, append_images=[grey.rotate(90)])
    return {name: (folder / name, says) for name, (_, says) in images.items()} | {
        "moving.gif": (folder / "moving.gif", "2 frames")
    }


@pytest.mark.parametrize("name", ["colour.png", "palette.png", "cmyk.tif", "alpha.png", "wide.png", "float.tif", "moving.gif"])
def test_other_images_are_refused_with_the_option_that_converts_them(
    name: str, tmp_path: Path, digit: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    path, says = other_images(tmp_path, digit)[name]
    fails(capsys, 1, says, "compress", path)
    fails(capsys, 1, "--convert", "compress", path)
    assert run(["compress", "--convert", "--lossless", str(path)]) == 0
    result = mnistzip.decode(path.with_suffix(".cae").read_bytes())
    assert result.shape == digit.shape
    if name in {"wide.png", "float.tif"}:
        assert (result == digit).all()


@pytest.mark.parametrize("size", [1, 20, 60, -20])
def test_a_damaged_image_is_one_line(size: int, digit_png: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digit_png.write_bytes(digit_png.read_bytes()[:size])
    fails(capsys, 1, "digit.png", "compress", digit_png)


def test_idx_and_cae_inputs_say_what_they_are(tmp_path: Path, digit: Pixels, capsys: pytest.CaptureFixture[str]) -> None:
    idx = tmp_path / "images.idx"
    idx.write_bytes(gzip.decompress(DIGITS.read_bytes()))
    fails(capsys, 1, "IDX data set", "compare", idx, idx)
    packed = tmp_path / "digit.cae"
    packed.write_bytes(mnistzip.encode(digit, effort=0))
    fails(capsys, 1, "decompress it", "compress", packed, "-o", tmp_path / "x.cae")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["compress"], "Missing argument"),
        (["compress", "-q", "0", "x.png"], "0"),
        (["compress", "-q", "5", "--lossless", "x.png"], "leave out --quality"),
        (["compress", "-q", "5", "--max-bytes", "9", "x.png"], "chooses the quality: leave out"),
        (["compress", "--lossless", "--min-psnr", "9", "x.png"], "leave out --min-psnr"),
        (["compress", "-o", "-", "x.png", "y.png"], "stdout takes one output"),
        (["compress", "x.png", "-"], "stdout takes one output"),
        (["decompress", "x.cae", "-"], "stdout takes one output"),
        (["compress", "-r", "."], "no images"),
        (["decompress", "-r", "."], "no .cae files"),
        (["test", "-r", "."], "no .cae files"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_usage_leaves_with_2(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    fails(capsys, 2, says, *arguments)


def test_missing_things_leave_with_1(tmp_path: Path, digit_png: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, 1, "No such file", "compress", tmp_path / "nothing.png")
    fails(capsys, 1, "-r", "compress", tmp_path)
    fails(capsys, 1, "no model 'x'", "compress", "--model", "x", digit_png)
    for suffix in ("xyz", "jpg", "qoi"):  # what is unknown, and what would not keep every pixel
        fails(capsys, 1, "lossless format", "decompress", _packed(digit_png), "-o", tmp_path / f"x.{suffix}")


@pytest.mark.parametrize("kind", ["png", "pgm", "bmp", "tif", "webp", "npy"])
def test_decompressed_images_keep_every_pixel_in_every_kind(kind: str, digit_png: Path, digit: Pixels) -> None:
    packed = _packed(digit_png)
    back = digit_png.with_name(f"back.{kind}")
    assert run(["decompress", str(packed), "-o", str(back)]) == 0
    result = np.load(back) if kind == "npy" else np.asarray(Image.open(back).convert("L"))
    assert (result == mnistzip.decode(packed.read_bytes())).all()
    assert run(["decompress", str(packed), "-o", str(digit_png.with_name("plain")), "--to", kind]) == 0
    assert digit_png.with_name("plain").read_bytes() == back.read_bytes()


def test_two_inputs_never_share_an_output(tmp_path: Path, digits: Pixels, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    first, second = save(digits[0], tmp_path / "a" / "x.png"), save(digits[1], tmp_path / "b" / "x.png")
    out = tmp_path / "out"
    assert run(["compress", "-f", str(first), str(second), "-o", str(out)]) == 1
    assert "would both go to" in capsys.readouterr().err
    assert (out / "x.cae").read_bytes() == mnistzip.encode(digits[0])


def test_a_folder_among_files_is_named_and_passed_over(
    tmp_path: Path, digits: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    names = [str(save(digits[0], tmp_path / "a.png")), str(tmp_path / "folder"), str(save(digits[1], tmp_path / "b.png"))]
    assert run(["compress", *names]) == 1
    assert "folder is a folder: use -r" in capsys.readouterr().err
    assert (tmp_path / "b.cae").exists()


def test_16_bits_behind_an_8_bit_mode_are_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    pixel = bytes([0, 1, 2, 255, 255])  # filter 0, then grey and alpha of 16 bits
    header = (1).to_bytes(4, "big") * 2 + bytes([16, 4, 0, 0, 0])
    path = tmp_path / "deep.png"
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixel)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    fails(capsys, 1, "more than 8 bits", "compress", path)


def test_compare_reads_a_stream(digit_png: Path) -> None:
    done = mz("compare", digit_png, "-", stdin=_packed(digit_png).read_bytes())
    assert done.returncode == 0, done.stderr
    assert b"dB" in done.stdout


def _packed(digit_png: Path) -> Path:
    run(["compress", "--quiet", "-f", str(digit_png)])
    return digit_png.with_suffix(".cae")


def test_budgets_reach_the_file(digit_png: Path, digit: Pixels, capsys: pytest.CaptureFixture[str]) -> None:
    packed = digit_png.with_suffix(".cae")
    assert run(["compress", str(digit_png), "--max-bytes", "20"]) == 0
    assert packed.stat().st_size <= 20
    assert run(["compress", "-f", str(digit_png), "--min-psnr", "27"]) == 0
    assert mnistzip.psnr(digit, mnistzip.decode(packed.read_bytes())) >= 27
    fails(capsys, 1, "more than the 3 allowed", "compress", "-f", digit_png, "--max-bytes", "3")


def test_info_and_test_and_models(digit_png: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = _packed(digit_png)
    assert run(["info", str(packed)]) == 0
    assert "lossy, model mnist, quality 50, 28x28" in capsys.readouterr().out
    assert run(["info", "--json", str(packed)]) == 0
    output = json.loads(capsys.readouterr().out)
    assert output["header_bytes"] == 3
    assert output["header_bytes"] + output["payload_bytes"] == packed.stat().st_size
    assert run(["test", str(packed)]) == 0
    assert capsys.readouterr().out == f"{packed}: ok\n"
    assert run(["models", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = ["mnist", "classic", "mnist-fast", "glyph", "grey", "mnist-micro", "mnist-bitmap"]
    assert [row["name"] for row in rows] == names


def test_show_draws_what_is_there(digit_png: Path, digit: Pixels, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["show", str(digit_png)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 28
    for row, line in zip(digit, lines, strict=True):
        inked = [bool(line[2 * i : 2 * i + 1].strip()) for i in range(28)]
        assert inked == [int(value) * 10 // 256 > 0 for value in row]
    assert run(["show", str(digit_png), str(_packed(digit_png))]) == 0
    assert "digit.cae:" in capsys.readouterr().out


def test_show_in_colours_gives_every_pixel_its_grey(digit: Pixels) -> None:
    from mnistzip.cli.view import _blocks

    drawn = _blocks(digit)
    assert drawn.count("▀") == 28 * 14
    assert f"38;2;{digit[14, 14]};" in drawn


def test_compare_writes_original_result_and_difference(
    digit_png: Path, digit: Pixels, capsys: pytest.CaptureFixture[str]
) -> None:
    packed, sheet = _packed(digit_png), digit_png.with_name("sheet.png")
    assert run(["compare", str(digit_png), str(packed), "-o", str(sheet), "--zoom", "2", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    result = mnistzip.decode(packed.read_bytes())
    assert row["psnr_db"] == round(mnistzip.psnr(digit, result), 3)
    drawn = np.asarray(Image.open(sheet))[::2, ::2]
    assert drawn.shape == (28, 3 * 28 + 8)
    assert (drawn[:, :28] == digit).all()
    assert (drawn[:, 32:60] == result).all()
    fails(capsys, 1, "same size", "compare", save(digit[:20], digit_png.with_name("small.png")), packed)


def test_every_command_has_help() -> None:
    for name in COMMANDS:
        result = CliRunner().invoke(cli, [name, "--help"])
        assert result.exit_code == 0, name
        assert "Usage:" in result.output
    assert set(cli.list_commands(None)) == set(COMMANDS)  # type: ignore[arg-type]
    lines = f"mnistzip {mnistzip.__version__}, format 1\nengine: {mnistzip.engine()}\n"
    assert CliRunner().invoke(cli, ["--version"]).output == lines


def test_a_closed_pipe_ends_quietly(digit_png: Path) -> None:
    packed = _packed(digit_png)
    command = f"{sys.executable} -m mnistzip info {' '.join([packed.name] * 5000)} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False, cwd=packed.parent)
    assert done.stdout.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


def test_an_interrupt_leaves_with_130_and_no_part_of_a_file(tmp_path: Path) -> None:
    big = save(np.random.default_rng(7).integers(0, 256, (2000, 2000)).astype(np.uint8), tmp_path / "big.png")
    content = big.read_bytes()
    # A shell's background jobs ignore SIGINT and their children with them; the command must not, to be tested.
    program = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from mnistzip.cli.main import main
main(sys.argv[1:])
"""
    command = [sys.executable, "-c", program, "compress", "-", "-o", str(tmp_path / "big.cae")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(content[: 1 << 20])  # more than a pipe holds: once it is taken, the command is reading
    process.send_signal(signal.SIGINT)
    _, output = process.communicate(timeout=600)
    assert process.returncode == 130
    assert b"Traceback" not in output
    assert list(tmp_path.iterdir()) == [big]


def test_a_full_disk_leaves_no_part_of_a_file(
    digit_png: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    fails(capsys, 1, "No space left on device", "compress", digit_png)
    assert list(digit_png.parent.iterdir()) == [digit_png]
