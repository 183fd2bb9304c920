"""The Zarr v3 codec, with the real Zarr."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings, strategies as st
from zarr.codecs import TransposeCodec
from zarr.registry import get_codec_class
from zarr.storage import LocalStore, MemoryStore

import mnistzip
from mnistzip.bitstream import container
from mnistzip.errors import FormatError, LimitError, ModelError, OptionError
from mnistzip.plugins.chunk_format import Chunk, ChunkOptions
from mnistzip.plugins.zarr import MnistzipCodec
from mnistzip.types import Pixels

FAST = MnistzipCodec(effort=0)
LOSSLESS = MnistzipCodec(lossless=True)


def create(store: Any, data: Pixels, codec: MnistzipCodec, chunks: tuple[int, ...], **more: Any) -> zarr.Array[Any]:
    array = zarr.create_array(
        store, shape=data.shape, dtype="uint8", chunks=chunks, serializer=codec, **{"compressors": None, **more}
    )
    array[:] = data
    return array


def test_zarr_finds_the_codec_by_its_entry_point_and_reads_without_our_import(digits: Pixels, tmp_path: Path) -> None:
    assert get_codec_class("mnistzip") is MnistzipCodec
    create(LocalStore(tmp_path / "d.zarr"), digits, LOSSLESS, (16, 28, 28))
    program = f"import zarr; print(int(zarr.open_array({str(tmp_path / 'd.zarr')!r}, mode='r')[:].sum(dtype='int64')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) == digits.sum(dtype=np.int64)


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [(1, 28, 28), (16, 28, 28), (64, 28, 28), (5, 28, 28), (7, 14, 20)])
def test_lossless_chunks_come_back_whatever_their_shape(digits: Pixels, chunks: tuple[int, ...]) -> None:
    array = create(MemoryStore(), digits, LOSSLESS, chunks)
    assert np.array_equal(array[:], digits)
    assert np.array_equal(array[17], digits[17])
    assert np.array_equal(array[3:50:7, 5:20, ::3], digits[3:50:7, 5:20, ::3])
    assert np.array_equal(array.oindex[[1, 40, 7], :, [0, 13]], digits[np.ix_([1, 40, 7], range(28), [0, 13])])
    assert np.array_equal(array.vindex[[1, 40, 7], [9, 9, 3], [0, 13, 5]], digits[[1, 40, 7], [9, 9, 3], [0, 13, 5]])
    mask = np.zeros(digits.shape, bool)
    mask[[2, 60], 10:12, 3] = True
    assert np.array_equal(array.vindex[mask], digits[mask])
    assert np.array_equal(array.blocks[0, 0, 0], digits[: chunks[0], : chunks[1], : chunks[2]])
    assert array[5, 6, 7] == digits[5, 6, 7]


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (2, 3, 28, 28), (2, 1, 2, 9, 30)])
def test_any_number_of_dimensions_before_the_image(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    array = create(MemoryStore(), pixels, LOSSLESS, shape)
    assert np.array_equal(array[:], pixels)


def test_lossy_chunks_hold_the_very_pixels_that_decode_gives(digits: Pixels) -> None:
    array = create(MemoryStore(), digits, MnistzipCodec(quality=50, effort=0), (16, 28, 28))
    wanted = mnistzip.decode_many(mnistzip.encode_many(digits, quality=50, effort=0))
    assert np.array_equal(array[:], wanted)
    assert np.array_equal(array[33], wanted[33])
    assert array.nbytes_stored() < 64 * 40


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {"compressors": "auto"},
        {"filters": [TransposeCodec(order=(0, 2, 1))]},
        {"shards": (32, 28, 28)},
        {"fill_value": 255},
        {"order": "F"},
    ],
    ids=str,
)
def test_compressors_filters_shards_and_orders_go_with_it(digits: Pixels, more: dict[str, Any]) -> None:
    order = more.pop("order", None)
    if order:
        more["config"] = {"order": order}
    array = create(MemoryStore(), digits, LOSSLESS, (8, 28, 28), **more)
    assert np.array_equal(array[:], digits)
    array[3, 4:9] = 99
    changed = digits.copy()
    changed[3, 4:9] = 99
    assert np.array_equal(array[:], changed)


def test_a_chunk_never_written_is_the_fill_value(digits: Pixels) -> None:
    store = MemoryStore()
    array = zarr.create_array(
        store, shape=(64, 28, 28), dtype="uint8", chunks=(16, 28, 28), serializer=FAST, compressors=None, fill_value=7
    )
    assert (array[:] == 7).all()
    array[20] = digits[20]
    assert (array[:16] == 7).all()
    assert array.nchunks_initialized == 1
    assert np.array_equal(array[20], mnistzip.decode(mnistzip.encode(digits[20], effort=0)))
    array[20] = 7
    array[16:32] = 7
    assert array.nchunks_initialized == 0
    assert (array[20] == 7).all()


@pytest.mark.parametrize("more", [{}, {"shards": (32, 28, 28)}], ids=["plain", "sharded"])
def test_images_that_nobody_writes_to_do_not_change_though_the_codec_is_lossy(digits: Pixels, more: dict[str, Any]) -> None:
    array = create(MemoryStore(), digits, FAST, (16, 28, 28), **more)
    before = array[:]
    for _ in range(3):
        array[5] = digits[6]
        array[8, 3, 3] = 200
    after = array[:]
    untouched = [n for n in range(64) if n not in (5, 8)]
    assert np.array_equal(after[untouched], before[untouched])
    assert np.array_equal(after[5], before[6])
    array.oindex[[30, 31], :, :] = digits[[1, 2]]
    array.vindex[[40, 41], [0, 0], [0, 0]] = [1, 2]
    assert np.array_equal(array[30:32], before[1:3])
    assert np.array_equal(array[32:40], before[32:40])


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"shards": (32, 28, 28)}], ids=["plain", "sharded"])
def test_every_kind_of_indexing_writes_where_it_says(digits: Pixels, more: dict[str, Any]) -> None:
    array, wanted = create(MemoryStore(), digits, LOSSLESS, (8, 14, 28), **more), digits.copy()
    array[3:40:5, 2, 4:9] = wanted[3:40:5, 2, 4:9] = 77
    array.oindex[[1, 20], :, [3, 9]] = wanted[np.ix_([1, 20], range(28), [3, 9])] = 88
    array.vindex[[1, 50], [2, 20], [3, 9]] = [1, 2]
    wanted[[1, 50], [2, 20], [3, 9]] = [1, 2]
    array[60] = wanted[60] = digits[0]
    array[..., 5] = wanted[..., 5] = digits[::-1, :, 8]
    array[8:16, 14:] = wanted[8:16, 14:] = 66
    assert np.array_equal(array[:], wanted)


def test_only_the_images_asked_for_are_decoded(digits: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    array = create(MemoryStore(), digits, FAST, (64, 28, 28))
    asked: list[Any] = []
    honest = Chunk.decode

    def watched(self: Chunk, model: str, wanted: Any = None) -> Pixels:
        asked.append(wanted)
        return honest(self, model, wanted)

    monkeypatch.setattr(Chunk, "decode", watched)
    _ = array[17], array[3:9:2, :5]
    assert asked == [[17], [3, 5, 7]]


def test_the_metadata_keep_every_option(digits: Pixels, tmp_path: Path) -> None:
    codec = MnistzipCodec(quality=30, effort=1, min_psnr=20.5, max_bytes=200, model="classic")
    create(LocalStore(tmp_path), digits[:4], codec, (4, 28, 28))
    saved = json.loads((tmp_path / "zarr.json").read_text())["codecs"]
    options = {"quality": 30, "lossless": False, "effort": 1, "max_bytes": 200, "min_psnr": 20.5, "model": "classic"}
    assert saved == [{"name": "mnistzip", "configuration": options}]
    assert zarr.open_array(tmp_path, mode="r").serializer == codec
    assert MnistzipCodec.from_dict(codec.to_dict()) == codec
    assert MnistzipCodec.from_dict({"name": "mnistzip"}) == MnistzipCodec()
    assert pickle.loads(pickle.dumps(codec)) == codec
    numbers = MnistzipCodec(quality=np.int64(30), min_psnr=np.float32(20.5), model=Path("m.npz"))  # type: ignore[arg-type]
    assert json.loads(json.dumps(numbers.to_dict()))["configuration"]["quality"] == 30


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 0},
        {"quality": "50"},
        {"effort": 10},
        {"lossless": 1},
        {"min_psnr": -1},
        {"min_psnr": float("nan")},
        {"min_psnr": float("inf")},
        {"max_bytes": 0},
        {"model": 3},
        {"speed": 3},
    ],
    ids=str,
)
def test_options_outside_their_range_are_refused_when_the_array_is_described(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        MnistzipCodec.from_dict({"name": "mnistzip", "configuration": options})
    with pytest.raises(OptionError, match="codec named"):
        MnistzipCodec.from_dict({"name": "gzip", "configuration": {}})


@pytest.mark.parametrize("more", [{}, {"shards": (4, 28, 28)}], ids=["plain", "sharded"])
@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "bool"])
def test_other_types_are_refused_when_the_array_is_made(dtype: str, more: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"{dtype}: mnistzip takes uint8"):
        zarr.create_array(MemoryStore(), shape=(4, 28, 28), chunks=(2, 28, 28), dtype=dtype, serializer=FAST, **more)


def test_arrays_without_images_and_chunks_too_large_are_refused_when_they_are_made() -> None:
    with pytest.raises(OptionError, match=r"\(784,\)"):
        zarr.create_array(MemoryStore(), shape=(784,), chunks=(784,), dtype="uint8", serializer=FAST)
    with pytest.raises(OptionError, match="choose smaller"):
        zarr.create_array(MemoryStore(), shape=(10**6, 28, 28), chunks=(10**6, 28, 28), dtype="uint8", serializer=FAST)


def test_a_budget_that_cannot_be_met_and_an_unknown_model_say_so_on_writing(digits: Pixels) -> None:
    with pytest.raises(LimitError):
        create(MemoryStore(), digits[:2], MnistzipCodec(max_bytes=5, effort=0), (2, 28, 28))
    with pytest.raises(ModelError, match="nosuch"):
        create(MemoryStore(), digits[:2], MnistzipCodec(model="nosuch"), (2, 28, 28))


def test_a_damaged_chunk_is_an_error_that_names_the_image_and_spares_the_others(digits: Pixels, tmp_path: Path) -> None:
    array = create(LocalStore(tmp_path), digits[:8], FAST, (8, 28, 28))
    before = array[:]
    file = tmp_path / "c" / "0" / "0" / "0"
    content = bytearray(file.read_bytes())
    content[-3] ^= 16
    file.write_bytes(content)
    with pytest.raises(FormatError, match="image 7 of the chunk"):
        array[:]
    assert np.array_equal(array[:7], before[:7])
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(FormatError, match="the chunk cannot be read"):
        array[0]
    other = ChunkOptions(effort=0).pack(digits[:4])
    file.write_bytes(other)
    with pytest.raises(FormatError, match=r"shape \(4, 28, 28\), its array \(8, 28, 28\)"):
        array[0]


def test_a_chunk_that_claims_large_images_is_refused_before_memory_is_taken() -> None:
    bomb = bytes.fromhex("cae1e1 ffff03 ffff03 0000")
    with pytest.raises(mnistzip.MnistzipError, match="limit"):
        Chunk.parse(bytes([1, 0]) + bomb)
    inflated = mnistzip.encode(np.zeros((8000, 8000), np.uint8), lossless=True, model="classic")
    with pytest.raises(LimitError, match="pixels of a chunk"):
        Chunk.parse(bytes([1, 1, 5, 0, 0, 0]) + container.join_streams([inflated] * 5))
    with pytest.raises(FormatError, match="cannot hold"):
        Chunk.parse(bytes([1, 2]) + b"\xff" * 8 + bomb)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.booleans())
def test_no_bytes_are_anything_but_a_clear_error(content: bytes, led: bool) -> None:
    with pytest.raises(mnistzip.MnistzipError):
        Chunk.parse(bytes([1, 1, 2, 0, 0, 0]) * led + content, (2, 28, 28)).unpack("mnist")


def test_every_prefix_and_flipped_bit_of_a_chunk_is_an_error_or_the_same_pixels(digits: Pixels) -> None:
    content = ChunkOptions(effort=0).pack(digits[:3])
    pixels = Chunk.parse(content).unpack("mnist")
    damaged = [content[:end] for end in range(len(content))] + [content + b"\0"]
    for at, byte in enumerate(content):
        bits = range(8) if at < 12 else [at % 8]  # what a flip within a file does is tested with the files
        damaged += [content[:at] + bytes([byte ^ 1 << bit]) + content[at + 1 :] for bit in bits]
    for one in damaged:
        try:
            assert np.array_equal(Chunk.parse(one, (3, 28, 28)).unpack("mnist"), pixels)
        except mnistzip.MnistzipError:
            continue


def test_the_bytes_of_a_chunk_stay_as_they_are_documented() -> None:
    dot = np.full((2, 1, 1), [[[9]], [[8]]], np.uint8)
    files = mnistzip.encode_many(dot, lossless=True)
    assert ChunkOptions(lossless=True).pack(dot) == bytes([1, 1, 2, 0, 0, 0, len(files[0])]) + files[0] + files[1]
    assert ChunkOptions(lossless=True).pack(dot[0]) == bytes([1, 0]) + files[0]


CHANNEL = [(16, 28, 28, 1), (16, 28, 28, 1, 1), (4, 4, 28, 28, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"sharded": True}, {"compressors": "auto"}], ids=["plain", "sharded", "zstd"])
@pytest.mark.parametrize("shape", CHANNEL, ids=str)
def test_a_channel_axis_behind_the_images_costs_nothing(shape: tuple[int, ...], more: dict[str, Any], digits: Pixels) -> None:
    digits = digits[:16]
    data, more = digits.reshape(shape), dict(more)
    if more.pop("sharded", False):
        more["shards"] = shape
    chunks = (shape[0] // 2, *shape[1:])
    array = create(MemoryStore(), data, LOSSLESS, chunks, **more)
    plain = create(MemoryStore(), digits, LOSSLESS, (8, 28, 28), **({"shards": digits.shape} if "shards" in more else more))
    assert array.nbytes_stored() < plain.nbytes_stored() + 100
    wanted = data.copy()
    for index, value in [
        ((3,), 9),
        ((slice(1, 3, 2), slice(None), 3), 77),
        ((3, 2, 1), 1),
        ((1,), data[2]),
        ((..., slice(None)), data),
    ]:
        array[index] = wanted[index] = value
        assert np.array_equal(array[:], wanted)
        assert np.array_equal(array[index], wanted[index])
    assert np.array_equal(array.oindex[[1, 3], :3], data[np.ix_([1, 3], range(3))])


def test_only_the_image_that_is_written_changes_where_a_channel_axis_is_behind_it(digits: Pixels) -> None:
    array = create(MemoryStore(), digits[..., None], FAST, (16, 28, 28, 1))
    before = array[:]
    array[5] = digits[6, ..., None]
    array[8, 3, 3] = 200
    assert np.array_equal(np.delete(array[:], [5, 8], 0), np.delete(before, [5, 8], 0))
    assert np.array_equal(array[5], before[6])


def test_arrays_written_when_a_channel_axis_was_taken_for_the_width_stay_readable(digits: Pixels, tmp_path: Path) -> None:
    data = digits[:2, ..., None]
    array = zarr.create_array(
        LocalStore(tmp_path), shape=data.shape, dtype="uint8", chunks=data.shape, serializer=LOSSLESS, compressors=None
    )
    array[:] = 1
    (file,) = (tmp_path / "c").rglob("0/0/0/0")
    columns = mnistzip.encode_many(data.reshape(-1, 28, 1), lossless=True)
    file.write_bytes(bytes([1, 2, 2, 0, 0, 0, 28, 0, 0, 0]) + container.join_streams(columns))
    array = zarr.open_array(tmp_path, mode="r+")
    assert np.array_equal(array[:], data)
    assert np.array_equal(array[1, 3:5], data[1, 3:5])
    array[0, 4] = 7
    wanted = data.copy()
    wanted[0, 4] = 7
    assert np.array_equal(array[:], wanted)
    parsed = Chunk.parse(file.read_bytes())
    assert parsed.shape == data.shape
    assert parsed.files[5:] == columns[5:]
    array[:] = data
    assert Chunk.parse(file.read_bytes()).shape == (2, 28, 28)


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((9, 28, 28), (9, 28, 28)),
        ((9, 28, 28, 1), (9, 28, 28)),
        ((9, 28, 28, 1, 1), (9, 28, 28)),
        ((28, 28, 1), (28, 28)),
        ((28, 28), (28, 28)),
        ((28, 1), (28, 1)),
        ((1, 28), (1, 28)),
        ((1, 1), (1, 1)),
        ((9, 1, 1), (9, 1, 1)),
        ((1, 28, 28), (1, 28, 28)),
        ((9, 1, 28, 28), (9, 1, 28, 28)),
        ((9, 28, 28, 3), (9, 28, 28, 3)),
    ],
    ids=str,
)
def test_axes_of_length_1_behind_the_images_are_left_out(shape: tuple[int, ...], stored: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    chunk = Chunk.parse(ChunkOptions(lossless=True).pack(pixels), shape)
    assert chunk.shape == stored
    assert np.array_equal(chunk.unpack("mnist"), pixels.reshape(stored))


@pytest.mark.parametrize("model", ["mnist", "auto"])
def test_arrays_name_the_model_that_they_were_made_with_and_are_read_by_any(model: str, digits: Pixels, tmp_path: Path) -> None:
    create(LocalStore(tmp_path), digits, MnistzipCodec(effort=0, model=model), (32, 28, 28))
    metadata = json.loads((tmp_path / "zarr.json").read_text())
    (codec,) = metadata["codecs"]
    assert codec["configuration"]["model"] == model
    wanted = mnistzip.decode_many(mnistzip.encode_many(digits, effort=0, model=model))
    for other in ("mnist", "auto", "glyph"):
        codec["configuration"]["model"] = other
        (tmp_path / "zarr.json").write_text(json.dumps(metadata))
        assert np.array_equal(zarr.open_array(tmp_path, mode="r")[:], wanted)


def test_the_model_is_chosen_for_each_image_unless_one_is_named(digits: Pixels) -> None:
    assert MnistzipCodec().model == "auto"
    letters = np.stack([np.kron(np.eye(7, dtype=np.uint8) * 255, np.ones((4, 4), np.uint8)), digits[0]])
    assert Chunk.parse(MnistzipCodec().pack(letters)).files == mnistzip.encode_many(letters)


def test_threads_write_and_read_their_own_chunks(digits: Pixels) -> None:
    array = zarr.create_array(
        MemoryStore(), shape=(64, 28, 28), dtype="uint8", chunks=(4, 28, 28), serializer=FAST, compressors=None
    )

    def there_and_back(start: int) -> Pixels:
        array[start : start + 4] = digits[start : start + 4]
        return np.asarray(array[start : start + 4])

    with ThreadPoolExecutor(8) as pool:
        back = np.concatenate(list(pool.map(there_and_back, range(0, 64, 4))))
    assert np.array_equal(back, mnistzip.decode_many(mnistzip.encode_many(digits, effort=0)))


def test_the_asynchronous_interface_works(digits: Pixels) -> None:
    async def there_and_back() -> Pixels:
        array = await zarr.api.asynchronous.create_array(
            MemoryStore(), shape=(64, 28, 28), dtype="uint8", chunks=(16, 28, 28), serializer=LOSSLESS, compressors=None
        )
        await array.setitem((slice(None),), digits)
        parts = await asyncio.gather(*[array.getitem((n,)) for n in range(64)])
        return np.stack([np.asarray(part) for part in parts])

    assert np.array_equal(asyncio.run(there_and_back()), digits)
