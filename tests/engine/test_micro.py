"""Exported models: streams and pixels are those of Python, on this machine and on emulated microcontrollers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mnistzip
from mnistzip.errors import FormatError
from mnistzip.export.c_header import CHeader, c_header
from mnistzip.models import registry
from mnistzip.models.model import Model, read_model
from mnistzip.types import Pixels
from support import forge, micro
from support.micro import BARE, DAMAGED, HOST, OK, Case, Machine, Result
from support.paths import ROOT

FLASH_MAX, RAM_MAX = 800_000, 48 * 1024  # bytes for the encoder of mnist-fast at one quality
INTEGER_HELPERS = {"__aeabi_uldivmod", "__aeabi_ldivmod", "__aeabi_lmul", "__aeabi_llsl", "__aeabi_llsr", "__aeabi_lasr"}
LIBRARY = {"memcpy", "memmove", "memset"}
MODELS = {  # a model, and some of the qualities that are exported
    "mnist-fast": (24, 25, 27),
    "classic": (50,),
    "every_op": (1, 100),
}

host = pytest.mark.skipif(bool(HOST.missing), reason=f"needs {HOST.missing}")


def installed(machine: Machine) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(machine.missing), reason=f"needs {machine.missing} (docs/microcontrollers.md)")


def model_named(name: str) -> Model:
    return read_model(forge.every_op(), name) if name == "every_op" else registry.shipped(name)


@dataclass(frozen=True)
class Built:
    """A test program with its exported model."""

    model: Model
    machine: Machine
    folder: Path
    header: CHeader

    def results(self, cases: Sequence[Case]) -> list[Result]:
        return self.machine.cases(self.folder, cases)


def build(machine: Machine, folder: Path, model: Model, qualities: range, encoder: bool = True, decoder: bool = True) -> Built:
    header = c_header(model, "digit_codec", qualities, encoder, decoder)
    (folder / "digit_codec.h").write_text(header.text)
    machine.build(folder)
    return Built(model, machine, folder, header)


@pytest.fixture(scope="module", params=MODELS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """A program for this machine with sanitizers, for each of the models."""
    qualities = MODELS[request.param]
    every = range(qualities[0], qualities[-1] + 1)
    return build(HOST, tmp_path_factory.mktemp(request.param), model_named(request.param), every)


def streams_of(images: Pixels, model: Model, quality: int, check_bits: int = 8) -> list[bytes]:
    return mnistzip.encode_many(images, model=model, quality=quality, effort=0, bare=True, check_bits=check_bits)


def decoded(stream: bytes, model: Model, quality: int, check_bits: int = 8) -> bytes | None:
    """The pixels that Python decodes; None if it refuses the stream."""
    try:
        return mnistzip.decode_bare(stream, model=model, quality=quality, check_bits=check_bits).tobytes()
    except FormatError:
        return None


def require_equal(built: Built, images: Pixels, quality: int, check_bits: int = 8) -> list[Result]:
    """Encode and decode images; returns the results, those of encoding first."""
    streams = streams_of(images, built.model, quality, check_bits)
    cases = [Case("E", quality, check_bits, image.tobytes()) for image in images]
    cases += [Case("D", quality, check_bits, stream) for stream in streams]
    results = built.results(cases)
    pixels = [decoded(stream, built.model, quality, check_bits) for stream in streams]
    assert [result.status for result in results] == [OK] * len(cases)
    assert [result.content for result in results] == [*streams, *pixels]
    return results


# ---- On this machine ----


@host
def test_streams_and_pixels_are_those_of_python(built: Built, digits: Pixels) -> None:
    few = digits if built.model.name == "mnist-fast" else digits[:4]
    extremes = np.array([np.zeros((28, 28)), np.full((28, 28), 255), np.arange(784).reshape(28, 28) % 256], np.uint8)
    noise = np.random.default_rng(1).integers(0, 256, (4, 28, 28), np.uint8)
    for quality in MODELS[built.model.name]:
        require_equal(built, np.concatenate([few, extremes, noise]), quality)


@host
@pytest.mark.parametrize("check_bits", [0, 1, 16, 23])
def test_checks_of_each_length_are_those_of_python(built: Built, digits: Pixels, check_bits: int) -> None:
    require_equal(built, digits[:6], MODELS[built.model.name][0], check_bits)


@host
def test_damaged_streams_give_an_error_or_the_pixels_that_python_gives(built: Built, digits: Pixels) -> None:
    random = np.random.default_rng(2)
    quality, cases = MODELS[built.model.name][0], []
    for check_bits in (0, 8):
        for stream in streams_of(digits[:8], built.model, quality, check_bits):
            damaged = [stream, stream[:-1], stream + b"\0", stream[1:], b"\0" + stream, stream[: len(stream) // 2]]
            for _ in range(8):
                content = bytearray(stream)
                content[random.integers(len(content))] ^= 1 << random.integers(8)
                damaged.append(bytes(content))
            cases += [Case("D", quality, check_bits, content) for content in damaged]
        cases += [Case("D", quality, check_bits, random.bytes(size)) for size in (*range(20), 100, 784)]
    results = built.results(cases)
    expected = [decoded(case.content, built.model, quality, case.check_bits) for case in cases]
    assert [result.content or None for result in results] == expected
    assert {result.status for result, pixels in zip(results, expected, strict=True) if pixels is None} == {DAMAGED}
    assert None in expected
    assert any(expected)


@host
def test_bad_arguments_give_an_error_code_and_the_workspace_is_not_larger_than_needed(built: Built) -> None:
    (result,) = built.results([Case("A")])
    assert result.number == 0, f"call {result.number} of try_bad_arguments in engine/tests/micro/run.c"


@host
@pytest.mark.parametrize("encoder", [True, False])
def test_a_header_can_hold_the_encoder_or_the_decoder_alone(encoder: bool, digits: Pixels, tmp_path: Path) -> None:
    model = model_named("every_op")
    program = build(HOST, tmp_path, model, range(25, 26), encoder, not encoder)
    (stream,) = streams_of(digits[:1], model, 25)
    results = program.results([Case("E", 25, 8, digits[0].tobytes()), Case("D", 25, 8, stream), Case("A")])
    pixels = decoded(stream, model, 25)
    contents = [stream, b""] if encoder else [b"", pixels]
    assert [result.content for result in results[:2]] == contents
    assert [result.status for result in results[:2]] == ([OK, micro.ARGUMENT] if encoder else [micro.ARGUMENT, OK])
    assert results[2].number == 0
    both = c_header(model, "digit_codec", range(25, 26))
    assert program.header.model_bytes < both.model_bytes


EXAMPLE = ROOT / "examples" / "lorawan"
PATH = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}  # of mnistzip and python


def require_best_that_fits(messages: str, images: Pixels, limit: int, qualities: range) -> list[tuple[int, bytes]]:
    """The port and the payload of each message: the stream of the best quality that has at most so many bytes."""
    sent = [(int(port), bytes.fromhex(payload)) for port, payload in (line.split() for line in messages.splitlines())]
    model = registry.shipped("mnist-fast")
    streams = {quality: streams_of(images, model, quality, 0) for quality in qualities}
    for index, (quality, payload) in enumerate(sent):
        assert payload == streams[quality][index]
        assert len(payload) <= limit
        assert all(len(streams[better][index]) > limit for better in range(quality + 1, qualities.stop))
    assert len(sent) == len(images)
    return sent


@host
def test_the_example_sends_each_digit_at_the_best_quality_that_fits_and_the_receiver_shows_it(
    digits: Pixels, tmp_path: Path
) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", (EXAMPLE / "README.md").read_text(), re.DOTALL)
    for name in ("engine", "examples", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    subprocess.run(["bash", "-euo", "pipefail", "-c", block], check=True, cwd=tmp_path, env=PATH, capture_output=True)
    folder = tmp_path / "runs" / "lorawan"
    sent = require_best_that_fits((folder / "messages").read_text(), digits, 11, range(10, 26))
    for index, (quality, payload) in enumerate(sent):
        shown = np.asarray(Image.open(folder / f"digit-{index}.png"))
        assert shown.tobytes() == decoded(payload, registry.shipped("mnist-fast"), quality, 0)


@host
def test_the_example_fits_the_packets_of_other_regions(digits: Pixels, tmp_path: Path) -> None:
    subprocess.run(["bash", EXAMPLE / "build.sh", tmp_path, "eu868"], check=True, env=PATH, capture_output=True)
    sensor = subprocess.run([tmp_path / "sensor"], input=digits.tobytes(), capture_output=True, check=True)
    require_best_that_fits(sensor.stdout.decode(), digits, 51, range(70, 101))


# ---- On emulated machines ----


@pytest.mark.parametrize("name", [pytest.param(name, marks=installed(machine)) for name, machine in BARE.items()])
def test_emulated_machines_give_the_bytes_and_pixels_of_python(name: str, digits: Pixels, tmp_path: Path) -> None:
    program = build(BARE[name], tmp_path, registry.shipped("mnist-fast"), range(25, 26))
    results = require_equal(program, digits[:4], 25)
    assert all(1_000_000 < result.instructions < 20_000_000 for result in results)
    bad, stack = program.results([Case("A"), Case("S")])
    assert bad.number == 0
    assert stack.number == 0  # no case before it
    *_, stack = program.results([Case("E", 25, 8, digits[0].tobytes()), Case("S")])
    assert program.header.workspace_bytes + stack.number <= RAM_MAX


ARM = BARE["m4"]


@installed(ARM)
def test_the_encoder_fits_the_flash_and_needs_neither_a_c_library_nor_floating_point(tmp_path: Path) -> None:
    header = c_header(registry.shipped("mnist-fast"), "digit_codec", range(25, 26), decoder=False)
    (tmp_path / "digit_codec.h").write_text(header.text)
    objects = micro.objects(ARM, tmp_path)
    sizes = {path.stem: micro.section_sizes(ARM, path) for path in objects}
    constants = sizes.pop("constants")
    assert constants["text"] == pytest.approx(header.model_bytes, rel=0.001)
    assert constants["text"] + sum(size["text"] for size in sizes.values()) <= FLASH_MAX
    assert [size[name] for size in (constants, *sizes.values()) for name in ("data", "bss")] == [0] * 2 * len(objects)
    defined, needed = set(), set()
    for path in objects:
        listing = subprocess.run([ARM.tool("nm"), path], capture_output=True, text=True, check=True).stdout
        for kind, name in re.findall(r"([A-Za-z]) (\S+)$", listing, re.MULTILINE):
            (needed if kind == "U" else defined).add(name)
    assert needed - defined <= LIBRARY | INTEGER_HELPERS
