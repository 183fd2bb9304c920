"""Archives: every image comes back, from anywhere in the file, and damage never gives a wrong one."""

from __future__ import annotations

import io
import itertools
import os
import pickle
import struct
import traceback
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

import mnistzip
from mnistzip.archive import group_codec, writer as pack
from mnistzip.archive.group import READ_AHEAD, Group
from mnistzip.archive.group_header import HEADER_BYTES, LABELS, MARKER, GroupHeader
from mnistzip.archive.index import ENTRY_BYTES, FOOTER_BYTES, START, Footer, Origin, RecoveredIndex, entry
from mnistzip.bitstream.stored import deflate
from mnistzip.coding.model_choice import candidates
from mnistzip.storage.backends import MemoryStorage
from mnistzip.types import Mode, Pixels
from support import forge
from support.forge import archive as forged

shapes = st.tuples(st.integers(1, 40), st.integers(1, 40))
some_images = st.lists(arrays(np.uint8, shapes), max_size=12)
FAST: dict[str, Any] = {"effort": 0}


def mixed(digits: Pixels) -> list[Pixels]:
    """Images of several sizes: some that are best stored, one of many tiles."""
    noise = np.random.default_rng(0).integers(0, 256, (28, 28)).astype(np.uint8)
    return [digits[0], noise, digits[1][:5, :20], np.tile(digits[2], (5, 6)), np.zeros((40, 30), np.uint8), *digits[3:9]]


def same(a: list[Pixels], b: list[Pixels]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def lossy(digits: Pixels) -> bytes:
    return mnistzip.encode_archive(digits, labels=np.arange(64) % 10, names=[f"d/{k}.png" for k in range(64)], **FAST)


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of 16 images, so that a few images make several."""
    monkeypatch.setattr(pack, "GROUP_IMAGES", 16)


@settings(deadline=None, max_examples=25)
@given(images=some_images)
def test_lossless_keeps_every_pixel_of_any_images(images: list[Pixels]) -> None:
    archive = mnistzip.Archive(mnistzip.encode_archive(images, lossless=True))
    assert len(archive) == len(images)
    assert same(list(archive), images)
    assert same([archive[k] for k in range(len(images))], images)


@settings(deadline=None, max_examples=10)
@given(images=some_images, quality=st.integers(1, 100))
def test_lossy_takes_any_images(images: list[Pixels], quality: int) -> None:
    archive = mnistzip.Archive(mnistzip.encode_archive(images, quality=quality, **FAST))
    decoded = list(archive)
    assert [image.shape for image in decoded] == [image.shape for image in images]
    assert same([archive[k] for k in range(len(images))], decoded)


@pytest.mark.parametrize("model", ["mnist", "classic"])
def test_digits_decode_to_the_very_pixels_of_single_files(model: str, digits: Pixels) -> None:
    archive = mnistzip.Archive(mnistzip.encode_archive(digits, model=model, **FAST))
    assert same(archive[:], mnistzip.decode_many(mnistzip.encode_many(digits, model=model, **FAST)))


def test_names_labels_and_shape_come_back(lossy: bytes) -> None:
    with mnistzip.Archive(lossy) as archive:
        assert archive.names == [f"d/{k}.png" for k in range(64)]
        assert archive.labels is not None
        assert (archive.labels == np.arange(64) % 10).all()
        assert archive.shape == (28, 28)
    plain = mnistzip.Archive(mnistzip.encode_archive([np.zeros((3, 2), np.uint8), np.zeros((2, 3), np.uint8)]))
    assert plain.names is plain.labels is plain.shape is None


@pytest.mark.parametrize("labels", [[0], [-1, 255], [1 << 40, -(1 << 62)], [(1 << 63) - 1, -(1 << 63)]])
def test_labels_of_any_size_come_back(labels: list[int], digits: Pixels) -> None:
    archive = mnistzip.Archive(mnistzip.encode_archive(digits[: len(labels)], labels=labels, lossless=True))
    assert archive.labels is not None
    assert archive.labels.tolist() == labels


def test_an_archive_of_nothing_comes_back() -> None:
    for images in ([], np.zeros((0, 28, 28), np.uint8)):
        archive = mnistzip.Archive(mnistzip.encode_archive(images))
        assert (len(archive), list(archive), archive[:], archive.names) == (0, [], [], None)
        with pytest.raises(IndexError):
            archive[0]
    assert archive.shape == (28, 28)


def test_indices_and_slices_are_those_of_a_list(lossy: bytes) -> None:
    archive = mnistzip.Archive(lossy)
    every = list(archive)
    for which in (slice(3, 9), slice(None, None, -7), slice(60, 99), slice(5, 5), slice(-3, None)):
        assert same(archive[which], every[which])
    assert np.array_equal(archive[-1], every[-1])
    assert np.array_equal(archive[np.int64(5)], every[5])
    assert same(archive.read([5, 1, 5, -1]), [every[5], every[1], every[5], every[-1]])
    for wrong in (64, -65):
        with pytest.raises(IndexError):
            archive[wrong]
    for odd in (1.0, "1", True, None):
        with pytest.raises(mnistzip.OptionError):
            archive[odd]  # type: ignore[call-overload]


def test_an_image_may_be_changed_without_changing_the_next_reading(lossy: bytes) -> None:
    archive = mnistzip.Archive(lossy)
    image = archive[3]
    before = image.copy()
    image[:] = 0
    assert np.array_equal(archive[3], before)


@pytest.mark.usefixtures("small_groups")
def test_bytes_do_not_depend_on_threads_or_on_how_images_are_given(digits: Pixels) -> None:
    once = mnistzip.encode_archive(digits, labels=range(64), **FAST)
    assert once == mnistzip.encode_archive(digits, labels=range(64), threads=3, **FAST)
    out = io.BytesIO()
    with mnistzip.ArchiveWriter(out, **FAST) as writer:
        writer.extend(digits[:5], labels=range(5))
        for k in range(5, 30):
            writer.add(digits[k], label=k)
        writer.extend(iter(digits[30:]), labels=iter(range(30, 64)))
    assert out.getvalue() == once


def test_the_callers_buffer_may_be_used_again(digits: Pixels) -> None:
    out, buffer = io.BytesIO(), np.empty((28, 28), np.uint8)
    with mnistzip.ArchiveWriter(out, lossless=True) as writer:
        for digit in digits:
            buffer[:] = digit
            writer.add(buffer)
    assert same(list(mnistzip.Archive(out.getvalue())), list(digits))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of bytes that are read."""
    counts: list[int] = []
    whole = MemoryStorage.read

    def read(self: MemoryStorage, offset: int, count: int) -> bytes:
        counts.append(count)
        return whole(self, offset, count)

    monkeypatch.setattr(MemoryStorage, "read", read)
    return counts


@pytest.mark.slow
def test_one_image_of_many_reads_little(digits: Pixels, taken: list[int]) -> None:
    data = mnistzip.encode_archive(np.tile(digits, (50, 1, 1)), lossless=True, model="mnist")  # 3,200 images, 4 groups
    archive = mnistzip.Archive(data)
    assert np.array_equal(archive[2999], digits[2999 % 64])
    assert sum(taken) < 20_000


def test_lanes_side_by_side_are_read_together(digits: Pixels, taken: list[int]) -> None:
    archive = mnistzip.Archive(mnistzip.encode_archive(digits, lossless=True, model="mnist"))
    assert np.array_equal(archive[63], digits[63])
    for wanted, reads in (([20, 24, 29], 1), ([0, 10], 2), ([50], 1)):  # lanes of four
        taken.clear()
        assert same(archive.read(wanted), [digits[k] for k in wanted])
        assert len(taken) == reads


def test_an_image_costs_much_less_than_a_file_of_its_own(digits: Pixels) -> None:
    many = np.tile(digits, (16, 1, 1))
    single = sum(map(len, mnistzip.encode_many(digits, **FAST))) * 16
    assert len(mnistzip.encode_archive(many, **FAST)) < single - 4 * len(many)


@pytest.mark.usefixtures("small_groups")
def test_threads_may_read_at_once(digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "d.cae"
    path.write_bytes(mnistzip.encode_archive(digits, **FAST))
    with mnistzip.Archive(path) as archive, ThreadPoolExecutor(4) as pool:
        every = list(archive)
        order = np.random.default_rng(1).integers(0, 64, 100).tolist()
        assert same(list(pool.map(archive.__getitem__, order)), [every[k] for k in order])


def test_an_archive_reopens_in_another_process(lossy: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.cae"
    path.write_bytes(lossy)
    expected = mnistzip.Archive(lossy)[7]
    monkeypatch.chdir(tmp_path)
    archives = [mnistzip.Archive(source) for source in (path, "d.cae", lossy, bytearray(lossy), memoryview(lossy))]
    monkeypatch.chdir("/")
    for archive in archives:
        assert np.array_equal(pickle.loads(pickle.dumps(archive))[7], expected)


@pytest.mark.parametrize("other", ["images", "labels", "names", "fewer", "stored"])
@pytest.mark.parametrize("place", ["file", "address"])
def test_another_process_does_not_take_another_archive_for_the_one_it_was_given(
    place: str, other: str, digits: Pixels, tmp_path: Path
) -> None:
    names = [f"{k}.png" for k in range(64)]
    how: dict[str, Any] = {"labels": range(64), "names": names, "lossless": True}
    images = digits
    if other == "stored":  # files of one size, whatever the pixels
        images = np.random.default_rng(0).integers(0, 256, digits.shape, np.uint8)
    first = mnistzip.encode_archive(images, **how)
    second = {
        "images": lambda: mnistzip.encode_archive(digits[::-1], **how),
        "labels": lambda: mnistzip.encode_archive(digits, **(how | {"labels": range(63, -1, -1)})),
        "names": lambda: mnistzip.encode_archive(digits, **(how | {"names": names[::-1]})),
        "fewer": lambda: mnistzip.encode_archive(digits[:9], lossless=True),
        "stored": lambda: mnistzip.encode_archive(images[::-1], **how),
    }[other]()
    where = str(tmp_path / "d.cae") if place == "file" else f"memory://{tmp_path}/d.cae"
    for content in (first, second):
        with fsspec.open(where, "wb") as out:
            out.write(content)
        if content is first:
            given = pickle.dumps(mnistzip.Archive(where))
            assert np.array_equal(pickle.loads(given)[7], images[7])
    with pytest.raises(mnistzip.FormatError, match=r"d\.cae was replaced since it was opened"):
        pickle.loads(given)


@pytest.mark.usefixtures("small_groups")
def test_damaged_and_closed_archives_reopen_all_the_same(digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "d.cae"
    content = bytearray(mnistzip.encode_archive(digits, lossless=True))
    content[10] ^= 1  # head of the first group
    path.write_bytes(content)
    with mnistzip.Archive(path) as archive:
        opened = pickle.dumps(archive)
    closed = pickle.dumps(archive)
    for again in (opened, closed):
        assert np.array_equal(pickle.loads(again)[40], digits[40])
    path.write_bytes(content[:-3])
    recovered = pickle.loads(pickle.dumps(mnistzip.Archive(path, recover=True)))
    assert recovered.recovered
    assert len(recovered) == 48


def test_a_file_cut_short_under_its_reader_is_an_error(lossy: bytes, tmp_path: Path) -> None:
    path = tmp_path / "d.cae"
    path.write_bytes(lossy)
    with mnistzip.Archive(path) as archive:
        os.truncate(path, 100)
        with pytest.raises(mnistzip.FormatError, match="cut short"):
            archive[0]


def test_a_system_that_reads_a_part_is_asked_again(lossy: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.cae"
    path.write_bytes(lossy)
    read = os.pread
    monkeypatch.setattr(os, "pread", lambda number, count, offset: read(number, min(count, 7), offset))
    assert same(mnistzip.Archive(path)[:5], mnistzip.Archive(lossy)[:5])
    monkeypatch.delattr(os, "pread")  # as on Windows
    assert same(mnistzip.Archive(path)[:5], mnistzip.Archive(lossy)[:5])


def test_an_archive_may_be_closed_while_it_is_read(lossy: bytes, tmp_path: Path) -> None:
    path = tmp_path / "d.cae"
    path.write_bytes(lossy)
    for _ in range(5):
        archive = mnistzip.Archive(path)
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(archive.names_between, k, k + 1) for k in range(64)]
            archive.close()
            for done in asked:
                assert done.exception() is None or "closed" in str(done.exception())


def test_ranges_beyond_the_archive_are_those_of_slices(lossy: bytes) -> None:
    archive = mnistzip.Archive(lossy)
    names = archive.names
    assert names is not None
    for start, stop in ((60, 99), (-2, 64), (-2, 1), (9, 5), (99, 200)):
        assert archive.names_between(start, stop) == names[start:stop]
        result = [image for part in archive.parts(start, stop) for image in part.images]
        assert same(result, archive[start:stop])  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def uneven(digits: Pixels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of three groups: 5, 7 and 3 images."""
    path, at = tmp_path_factory.mktemp("uneven") / "x.cae", 0
    for images in (5, 7, 3):
        with mnistzip.ArchiveWriter(path, append=at > 0, **FAST) as writer:
            for k in range(at, at + images):
                writer.add(digits[k], name=f"{k}.png", label=k)
        at += images
    return path


def test_ranges_begin_and_end_within_groups_of_any_length(uneven: Path) -> None:
    with mnistzip.Archive(uneven) as archive:
        whole, names = archive[:], archive.names
        assert [archive.group_of(k) for k in (4, 5, 11, 12)] == [range(5), range(5, 12), range(5, 12), range(12, 15)]
        for start, stop in itertools.combinations(range(16), 2):
            parts = list(archive.parts(start, stop, details=True))
            assert [part.first for part in parts] == [start, *(first for first in (5, 12) if start < first < stop)]
            assert same([image for part in parts for image in part.images], whole[start:stop])  # type: ignore[misc]
            assert [name for part in parts for name in part.names or []] == names[start:stop]
            assert [label for part in parts for label in part.labels.tolist()] == list(range(start, stop))


def test_a_group_that_cannot_be_read_is_an_error_for_each_image_of_a_range(uneven: Path) -> None:
    data = bytearray(uneven.read_bytes())
    with mnistzip.Archive(uneven) as archive:
        groups = [group for group in archive.groups() if isinstance(group, Group)]
    data[groups[1].offset + 20] ^= 1  # in the head
    with mnistzip.Archive(bytes(data)) as archive:
        first, second, third = archive.parts(3, 13, details=True)
    assert (first.first, len(first.images), first.names) == (3, 2, ["3.png", "4.png"])
    assert (second.first, len(second.images)) == (5, 7)
    assert all(isinstance(each, mnistzip.FormatError) for each in (*second.images, second.names, second.labels))
    assert (third.first, len(third.images), third.names) == (12, 1, ["12.png"])


def test_a_closed_archive_says_so(lossy: bytes) -> None:
    with mnistzip.Archive(lossy) as archive:
        pass
    with pytest.raises(mnistzip.OptionError, match="closed"):
        archive[0]


def test_remote_files_are_read_in_parts(lossy: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://digits.cae", "wb") as file:
        file.write(lossy)
    with mnistzip.Archive("memory://digits.cae") as archive:
        assert same(archive[10:20], mnistzip.Archive(lossy)[10:20])
        assert archive.names == mnistzip.Archive(lossy).names
    with pytest.raises(FileNotFoundError):
        mnistzip.Archive("memory://nothing.cae")
    with pytest.raises(mnistzip.OptionError, match="nosuch"):
        mnistzip.Archive("nosuch://digits.cae")
    files = fsspec.filesystem("memory")
    with mnistzip.Archive("memory://digits.cae") as archive, monkeypatch.context() as patch:
        patch.setattr(type(files), "cat_file", lambda *_, **__: lossy)  # a server that does not know of parts
        with pytest.raises(OSError, match="gives whole files only"):
            archive[0]
        patch.setattr(type(files), "cat_file", lambda *_, **__: 1 // 0)
        with pytest.raises(OSError, match="cannot be read: ZeroDivisionError"):
            archive[0]


def test_a_missing_fsspec_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(mnistzip.OptionError, match=r"pip install 'mnistzip\[fsspec\]'"):
        mnistzip.Archive("s3://bucket/digits.cae")


# Writing


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/x",
        "a//b",
        "a/",
        "./a",
        "C:x",
        "c:/x",
        "a\\b",
        "a\0b",
        "a\nb",
        "x" * 256,
        "x/" * 3000 + "x",
        "\udcff",
    ],
)
def test_names_that_could_lead_elsewhere_are_refused(name: str, digit: Pixels) -> None:
    with pytest.raises(mnistzip.ImageError, match="name"):
        mnistzip.encode_archive([digit], names=[name])


@pytest.mark.parametrize("name", ["", "a", "a/b.png", "..a", "12:30.png", "ü/ß.png", "a b", "x" * 255])
def test_other_names_are_kept(name: str, digit: Pixels) -> None:
    assert mnistzip.Archive(mnistzip.encode_archive([digit], names=[name], lossless=True)).names == [name]


def test_names_and_labels_are_of_all_images_or_of_none(digits: Pixels) -> None:
    with pytest.raises(mnistzip.OptionError, match="63 labels for 64 images"):
        mnistzip.encode_archive(digits, labels=range(63))
    with pytest.raises(mnistzip.OptionError, match="65 names for 64 images"):
        mnistzip.encode_archive(digits, names=[str(k) for k in range(65)])
    writer = mnistzip.ArchiveWriter(io.BytesIO())
    writer.add(digits[0], name="a")
    with pytest.raises(mnistzip.OptionError, match="image 1 has no name"):
        writer.add(digits[1])
    for label in (1.5, 1 << 63, "a"):
        with pytest.raises(mnistzip.OptionError, match="label"):
            mnistzip.encode_archive(digits[:1], labels=[label])  # type: ignore[list-item]


def test_the_image_at_fault_is_named(digits: Pixels) -> None:
    with pytest.raises(mnistzip.ImageError, match="image 2"):
        mnistzip.encode_archive([digits[0], digits[1], digits[2].astype(float)])


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("small_groups")
def test_appending_gives_both(threads: int, digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "d.cae"
    for part in (digits[:0], digits[:20], digits[20:21], digits[21:]):
        with mnistzip.ArchiveWriter(path, append=True, threads=threads, lossless=True) as writer:
            writer.extend(part, labels=part[:, 14, 14])
    archive = mnistzip.Archive(path)
    assert same(list(archive), list(digits))
    assert archive.labels is not None
    assert (archive.labels == digits[:, 14, 14]).all()
    with mnistzip.ArchiveWriter(path, append=True, quality=20, effort=0) as writer:  # another way of coding, another size
        writer.add(digits[0][:9], label=5)
    archive = mnistzip.Archive(path)
    assert same(archive[:64], list(digits))
    assert archive[64].shape == (9, 28)
    assert archive.shape is None


def test_an_append_that_fails_leaves_the_old_archive(lossy: bytes, digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "d.cae"
    path.write_bytes(lossy)
    with pytest.raises(mnistzip.OptionError, match="no name"), mnistzip.ArchiveWriter(path, append=True) as writer:
        writer.add(digits[0])
    with pytest.raises(ZeroDivisionError), mnistzip.ArchiveWriter(path, append=True) as writer:
        writer.add(digits[0], name="x", label=1 // 0)
    assert path.read_bytes() == lossy
    path.write_bytes(lossy[:-1])
    with pytest.raises(mnistzip.FormatError, match="cannot be appended to"):
        mnistzip.ArchiveWriter(path, append=True)
    assert path.read_bytes() == lossy[:-1]
    assert os.listdir(tmp_path) == ["d.cae"]
    with pytest.raises(mnistzip.OptionError, match="path"):
        mnistzip.ArchiveWriter(io.BytesIO(), append=True)


def test_a_writer_ends_once(digits: Pixels, tmp_path: Path) -> None:
    expected = mnistzip.encode_archive(digits[:3], **FAST)
    for target in (tmp_path / "d.cae", io.BytesIO()):
        for end in ("close", "finish"):
            with mnistzip.ArchiveWriter(target, **FAST) as writer:
                writer.extend(digits[:3])
                getattr(writer, end)()
                with pytest.raises(mnistzip.OptionError, match="nothing can be added"):
                    writer.add(digits[3])
                writer.close()
            content = target.getvalue() if isinstance(target, io.BytesIO) else target.read_bytes()
            assert content == expected
            if isinstance(target, io.BytesIO):
                break


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.usefixtures("small_groups")
def test_a_writer_that_failed_once_gives_up(threads: int, lossy: bytes, digits: Pixels, tmp_path: Path) -> None:
    class FullForAMoment(io.BytesIO):
        def write(self, data: Any) -> int:
            if len(data) > 100 and not self.getvalue()[4:]:
                self.seek(10)
                raise OSError("no space left")
            return super().write(data)

    path = tmp_path / "d.cae"
    path.write_bytes(lossy)
    writer = mnistzip.ArchiveWriter(path, append=True, threads=threads, **FAST)
    writer._out = FullForAMoment()
    messages = []
    for digit in digits:
        try:
            writer.add(digit, name="x", label=1)
        except (OSError, mnistzip.OptionError) as error:
            messages.append(str(error))
    assert messages[0] == "no space left"
    assert {"given up" in text for text in messages[1:]} == {True}
    with pytest.raises(mnistzip.OptionError, match="given up"):
        writer.close()
    assert path.read_bytes() == lossy
    assert os.listdir(tmp_path) == ["d.cae"]


def test_an_archive_that_somebody_else_changed_is_not_overwritten(lossy: bytes, digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "d.cae"
    for change in (lambda: path.write_bytes(mnistzip.encode_archive(digits[:2], **FAST)), path.unlink):
        path.write_bytes(lossy)
        writer = mnistzip.ArchiveWriter(path, append=True, **FAST)
        writer.add(digits[0], name="x", label=1)
        change()
        left = {file.name: file.read_bytes() for file in tmp_path.glob("*.cae")}
        with pytest.raises(OSError, match="was changed while images were added"):
            writer.close()
        with pytest.raises(mnistzip.OptionError, match="given up"):
            writer.close()
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == left
    path.unlink(missing_ok=True)
    first, second = (mnistzip.ArchiveWriter(path, append=True, **FAST) for _ in range(2))
    first.add(digits[0])
    second.extend(digits[1:3])
    first.close()
    with pytest.raises(OSError, match="was changed while images were added"):
        second.close()
    assert len(mnistzip.Archive(path)) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"origin": 9}, "origin is 9"),
        ({"origin": "idx"}, "origin is 'idx'"),
        ({"shape": 28}, "give height and width"),
        ({"shape": (1.5, 2)}, "give height and width"),
        ({"shape": (0, 5)}, "5x0"),
        ({"shape": (5, -1)}, "-1x5"),
        ({"threads": 0}, "threads is 0"),
        ({"target": 5}, "written to int"),
        ({"target": io.StringIO()}, "written to StringIO"),
        ({"target": "a\0b"}, "no path"),
    ],
)
def test_a_writer_refuses_what_no_reader_would_take(options: dict[str, Any], says: str) -> None:
    with pytest.raises((mnistzip.OptionError, mnistzip.ImageError), match=says):
        mnistzip.ArchiveWriter(**{"target": io.BytesIO(), **options})


def test_an_image_that_is_refused_leaves_no_trace(digits: Pixels) -> None:
    out = io.BytesIO()
    with mnistzip.ArchiveWriter(out, **FAST) as writer:
        with pytest.raises(mnistzip.ImageError, match="absolute"):
            writer.add(digits[0], name="/x")
        with pytest.raises(mnistzip.OptionError, match="not an integer"):
            writer.add(digits[0], label=1.5)  # type: ignore[arg-type]
        writer.add(digits[0])
    assert mnistzip.Archive(out.getvalue()).names is None
    out = io.BytesIO()
    with mnistzip.ArchiveWriter(out) as writer, pytest.raises(mnistzip.ImageError):
        writer.add(digits[0], name="/x")
    assert mnistzip.Archive(out.getvalue()).names is None


# Damage


def wrong_pixels(data: bytes, images: list[Pixels]) -> list[int]:
    """Which images differ, of those that damaged bytes still give; no error but ours."""
    try:
        archive = mnistzip.Archive(data)
        parts = list(archive.parts(details=True))
    except mnistzip.MnistzipError:
        return []
    pairs = [(part.first + k, image) for part in parts for k, image in enumerate(part.images)]
    whole = [(k, image) for k, image in pairs if not isinstance(image, mnistzip.MnistzipError)]
    return [k for k, image in whole if not np.array_equal(image, images[k])]


@pytest.fixture(scope="module", params=["lossy", pytest.param("lossless", marks=pytest.mark.slow), "mixed"])
def small(request: pytest.FixtureRequest, digits: Pixels) -> bytes:
    """A small archive of each kind."""
    if request.param == "mixed":
        return mnistzip.encode_archive([*mixed(digits)[:3], digits[4]], names=["a", "", "b/c", "d"], **FAST)
    return mnistzip.encode_archive(digits[:6], labels=range(6), lossless=request.param == "lossless", **FAST)


@pytest.mark.usefixtures("each_engine")
def test_no_flipped_bit_gives_a_wrong_picture(small: bytes) -> None:
    images = list(mnistzip.Archive(small))
    ends = [*range(8 * 70), *range(8 * (len(small) - 90), 8 * len(small))]  # every bit of the frame, some between
    for bit in sorted({*ends, *range(0, 8 * len(small), 29)}):
        data = bytearray(small)
        data[bit // 8] ^= 1 << bit % 8
        assert wrong_pixels(bytes(data), images) == [], f"bit {bit}"


def test_every_prefix_is_refused_and_so_is_more(small: bytes) -> None:
    for data in [*(small[:size] for size in range(len(small))), small + b"\0", small + small]:
        with pytest.raises(mnistzip.FormatError):
            mnistzip.Archive(data)
    images = list(mnistzip.Archive(small))
    for size in range(len(small)):
        try:
            archive = mnistzip.Archive(small[:size], recover=True)
        except mnistzip.MnistzipError:
            continue
        assert same(list(archive), images)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_any_bytes_within_give_an_error_of_ours(data: st.DataObject) -> None:
    good = mnistzip.encode_archive([np.full((3, 4), 9, np.uint8)] * 5, labels=range(5), names=list("abcde"), lossless=True)
    images = list(mnistzip.Archive(good))
    at = data.draw(st.integers(0, len(good)))
    put = data.draw(st.binary(max_size=12))
    cut = data.draw(st.integers(0, 12))
    assert wrong_pixels(good[:at] + put + good[at + cut :], images) == []


@pytest.mark.usefixtures("small_groups", "each_engine")
def test_damage_in_one_group_leaves_the_others_and_names_its_images(digits: Pixels) -> None:
    data = bytearray(mnistzip.encode_archive(digits, model="mnist", **FAST))
    images = list(mnistzip.Archive(bytes(data)))
    groups = [group for group in mnistzip.Archive(bytes(data)).groups() if not isinstance(group, mnistzip.MnistzipError)]
    data[groups[1].lanes_offset + 10] ^= 1  # in the first lane
    data[groups[2].offset + 20] ^= 1  # in the head
    archive = mnistzip.Archive(bytes(data))
    lost = [
        part.first + k for part in archive.parts() for k, image in enumerate(part.images) if not isinstance(image, np.ndarray)
    ]
    assert lost == [*range(16, 20), *range(32, 48)]
    assert same(archive[:16], images[:16])
    assert same(archive[20:32], images[20:32])
    with pytest.raises(mnistzip.FormatError, match="images 16 to 19"):
        archive[17]
    with pytest.raises(mnistzip.FormatError, match="image 16"):
        list(archive)


@pytest.mark.usefixtures("small_groups", "each_engine")
def test_an_archive_that_lost_its_end_is_recovered(digits: Pixels) -> None:
    data = mnistzip.encode_archive(digits, labels=range(64), lossless=True)
    end = 4 + mnistzip.Archive(data)._index.extent(2).offset
    damaged_entry = data[:-70] + bytes([data[-70] ^ 1]) + data[-69:]
    for broken in (data[:end], data[:-50], data[:-10] + bytes(10), damaged_entry):
        archive = mnistzip.Archive(broken, recover=True)
        assert archive.recovered
        assert len(archive) in (32, 64)
        assert same(list(archive), list(digits[: len(archive)]))
        assert archive.labels is not None
        assert (archive.labels == np.arange(len(archive))).all()
    for hopeless in (b"", data[:3], data[:30]):
        with pytest.raises(mnistzip.FormatError):
            mnistzip.Archive(hopeless, recover=True)


def test_an_archive_is_no_single_file_and_the_reverse(lossy: bytes, digit: Pixels) -> None:
    with pytest.raises(mnistzip.UnsupportedError, match=r"mnistzip\.Archive opens it"):
        mnistzip.decode(lossy)
    with pytest.raises(mnistzip.FormatError, match=r"mnistzip\.decode reads it"):
        mnistzip.Archive(mnistzip.encode(digit, **FAST))


@pytest.mark.parametrize("shape", [(0, 70000, 5), (0, 5, 70000)])
def test_no_images_of_too_long_a_side_are_refused_too(shape: tuple[int, int, int]) -> None:
    with pytest.raises(mnistzip.ImageError, match="sides of"):
        mnistzip.encode_archive(np.zeros(shape, np.uint8))


# Malicious archives: every check matches, but the content contradicts itself.


def group_start(table: bytes, **change: Any) -> bytes:
    """Header and table of a group of 2 stored images of 1x1."""
    usual = GroupHeader(2, Mode.STORED, 0, 0, 0, 2, 1, 1, bytes(8))
    return replace(usual, **change).to_bytes(table) + table


GROUP = group_codec.encode_group(
    group_codec.GroupOptions(candidates("classic", None), 0), [np.full((1, 1), k, np.uint8) for k in (7, 9)], None, None
).content


@pytest.mark.parametrize(
    ("data", "error", "says"),
    [
        (forged([GROUP], [0, 2], count=(1 << 32) - 1), mnistzip.FormatError, "do not fill"),
        (forged([GROUP], [0, 2], groups=1 << 60), mnistzip.FormatError, "do not fill"),
        (forged([GROUP], [0, 2], index_offset=1 << 63), mnistzip.FormatError, "do not fill"),
        (forged([GROUP, GROUP], [0, 2, 4], [4, 4]), mnistzip.FormatError, "no part of the file"),  # a section twice
        (forged([GROUP, GROUP], [0, 2, 4], [4, 20]), mnistzip.FormatError, "no part of the file"),  # overlapping
        (forged([GROUP, GROUP], [0, 2, 4], [4 + len(GROUP), 4]), mnistzip.FormatError, "no part of the file"),  # backwards
        (forged([GROUP, GROUP], [0, 2, 4], [4, 1 << 40]), mnistzip.FormatError, "no part of the file"),  # past the end
        (forged([GROUP, GROUP], [0, 3, 4]), mnistzip.FormatError, "not what index and footer say"),
        (forged([GROUP, GROUP], [0, 2, 1 << 62]), mnistzip.FormatError, "do not fill"),
        (forged([GROUP], [0, 2], labels=True), mnistzip.FormatError, "not what index and footer say"),
        (forged([GROUP], [0, 2], width=3, height=3), mnistzip.FormatError, "not what index and footer say"),
        (forged([GROUP], [0, 2], width=3), mnistzip.FormatError, "but not both"),
        (forged([bytes(60)], [0, 2]), mnistzip.FormatError, "no group"),
        (forged([], [0], count=5), mnistzip.FormatError, "do not fill"),
    ],
)
def test_an_index_that_lies_is_refused(data: bytes, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        [*mnistzip.Archive(data)]


@pytest.mark.parametrize(
    ("change", "table", "error", "says"),
    [
        ({"method": 5}, b"", mnistzip.UnsupportedError, "method 5"),
        ({"flags": 16}, b"", mnistzip.UnsupportedError, "flags"),
        ({"method": 0, "model": 14, "quality": 5}, b"", mnistzip.UnsupportedError, "model number 14"),
        ({"method": 0, "quality": 0}, b"", mnistzip.FormatError, "contradict"),
        ({"quality": 5}, b"", mnistzip.FormatError, "contradict"),
        ({"images": 0}, b"", mnistzip.FormatError, "contradict"),
        ({"per_lane": 0}, b"", mnistzip.FormatError, "contradict"),
        ({"images": 300, "per_lane": 257}, b"", mnistzip.FormatError, "contradict"),
        ({"width": 0}, b"", mnistzip.FormatError, "contradict"),
        ({"flags": LABELS}, b"", mnistzip.FormatError, "contradict"),
        ({"flags": 1}, b"\1\1\1\1\3\0", mnistzip.FormatError, "contradict"),
        ({"flags": 1, "width": 0, "height": 0}, b"\1\0\1\1\3\0", mnistzip.FormatError, "a side is 0"),
        ({"flags": 1, "width": 0, "height": 0}, b"\xff" * 9, mnistzip.FormatError, "numbers"),
        ({}, b"", mnistzip.FormatError, "numbers"),
        ({}, b"\3", mnistzip.FormatError, "numbers"),
        ({}, b"\x83\0\0", mnistzip.FormatError, "numbers"),
        ({}, b"\3\0\0", mnistzip.FormatError, "do not fill"),
        ({}, b"\4\0", mnistzip.FormatError, "do not fill"),
        ({"lanes_bytes": 1 << 31}, b"\3\0", mnistzip.FormatError, "are left for it"),
        ({"table_bytes": 1 << 31}, b"\3\0", mnistzip.FormatError, "are left for it"),
        ({"width": 65535, "height": 65535}, b"\3\0", mnistzip.LimitError, "65535x65535"),
        (
            {"images": 2000, "per_lane": 256, "width": 8000, "height": 8000, "lanes_bytes": 24},
            b"\3" + bytes(8),
            mnistzip.LimitError,
            "pixels in a lane",
        ),
        ({"method": 0, "model": 9, "quality": 5}, b"\3\0", mnistzip.ModelError, "shipped model 9"),
        ({"method": 0, "model": 15, "quality": 5}, b"\3\0", mnistzip.ModelError, "custom model"),
        ({"method": 0, "model": 0, "quality": 5}, b"\3\0", mnistzip.ModelError, "written with the model"),
    ],
)
def test_a_group_that_lies_is_refused(change: dict[str, Any], table: bytes, error: type[Exception], says: str) -> None:
    lanes = bytes(24) if change.get("lanes_bytes") == 24 else b"abc"
    lying = group_start(table, **({"table_bytes": len(table), "lanes_bytes": 3} | change)) + lanes
    with pytest.raises(error, match=says):
        [*mnistzip.Archive(forged([lying], [0, max(change.get("images", 2), 1)]))]


def test_bombs_take_no_memory() -> None:
    bomb = deflate(bytes(1 << 24))
    table = b"\xff\xff\xff\x07\0"
    many = {"images": 10000, "per_lane": 256, "width": 28, "height": 28}
    values = [
        group_start(b"\3\0", table_bytes=2, lanes_bytes=3, **many | {"width": 65535, "height": 65535}) + b"abc",
        forge.group(body=bomb),
        group_start(table, table_bytes=len(table), lanes_bytes=(1 << 24) - 1, **many) + b"abc",
    ]
    tracemalloc.start()
    for value in values:
        with pytest.raises(mnistzip.MnistzipError):
            [*mnistzip.Archive(forged([value], [0, 2 if value is values[1] else 10000]))]
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_file_full_of_false_groups_is_searched_in_few_reads() -> None:
    false = [group_start(b"", images=65535, table_bytes=52 * (500 - k), lanes_bytes=0) for k in range(500)]
    content = START + b"".join(false) + bytes(52) + GROUP  # each claims all that follows as its table
    read: list[int] = []

    class Counting(MemoryStorage):
        def read(self, offset: int, count: int) -> bytes:
            read.append(count)
            return super().read(offset, count)

    recovered = RecoveredIndex(Counting(content))
    assert [recovered.extent(number).offset for number in range(recovered.groups)] == [len(content) - len(GROUP)]
    assert sum(count for count in read if count > READ_AHEAD) <= 3 * len(content)


def test_what_is_too_large_is_found_by_the_search_too_and_named() -> None:
    many = {"images": 1, "per_lane": 1, "width": 4000, "height": 4000, "table_bytes": 2, "lanes_bytes": 3}
    large = group_start(b"\3\0", method=Mode.LOSSLESS, model=1, **many) + b"abc"
    with mnistzip.Archive(START + large + GROUP, recover=True) as archive:
        assert len(archive) == 3
        with pytest.raises(mnistzip.LimitError, match="4000x4000"):
            archive[0]
        assert archive[2] == 9


@pytest.mark.parametrize(
    "raw", [b"../x\0y\0", b"/x\0y\0", b"C:\\x\0y\0", b"a\0", b"a\0b", b"a\0b\0c\0", b"\xff\0b\0", b"x" * 10000 + b"\0b\0"]
)
def test_hostile_names_never_leave_the_archive(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnistzip.archive.group.pack_names", lambda names: raw)
    images = [np.full((1, 1), k, np.uint8) for k in (7, 9)]
    group = group_codec.encode_group(group_codec.GroupOptions(candidates("classic", None), 0), images, None, ["", ""]).content
    archive = mnistzip.Archive(forged([group], [0, 2], names=True))
    with pytest.raises(mnistzip.FormatError, match="name"):
        archive.names  # noqa: B018
    assert same(list(archive), images)


def test_a_group_whose_pixels_come_out_otherwise_is_refused(digits: Pixels) -> None:
    setting = group_codec.GroupOptions(candidates("classic", None), 0)
    good = group_codec.encode_group(setting, list(digits[:8]), None, None).content
    raw = bytearray(good)
    raw[44:48] = struct.pack("<I", 1)  # the check of the pixels
    table = bytes(raw[HEADER_BYTES : HEADER_BYTES + struct.unpack_from("<I", raw, 24)[0]])
    raw[48:52] = zlib.crc32(table, zlib.crc32(bytes(raw[:48]))).to_bytes(4, "little")
    archive = mnistzip.Archive(forged([bytes(raw)], [0, 8]))
    with pytest.raises(mnistzip.FormatError, match="group 0 does not match its check"):
        list(archive)


def test_the_frame_keeps_its_bytes_for_ever() -> None:
    assert (START.hex(), MARKER.hex(), HEADER_BYTES, ENTRY_BYTES, FOOTER_BYTES) == ("cae17f00", "cae17f47", 52, 20, 40)
    assert [(origin.name, origin.value) for origin in Origin] == [
        ("NONE", 0), ("IDX", 1), ("FOLDER", 2), ("NPY", 3), ("NPZ", 4), ("PARQUET", 5)
    ]  # fmt: skip
    assert mnistzip.encode_archive([]).hex() == "cae17f00" + entry(0, 4).hex() + Footer(0, 0, 4).to_bytes().hex()


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file that is none of the package's."""
    path = tmp_path_factory.mktemp("model") / "mine.npz"
    path.write_bytes(forge.own())
    return path


@pytest.mark.parametrize("lossless", [False, True])
def test_an_archive_that_holds_its_model_needs_no_other(lossless: bool, own_model: Path, digits: Pixels) -> None:
    plain = mnistzip.encode_archive(digits[:5], model=own_model, lossless=lossless)
    whole = mnistzip.encode_archive(digits[:5], model=own_model, lossless=lossless, embed_model=True)
    assert len(whole) == len(plain) + own_model.stat().st_size
    if not lossless:
        with pytest.raises(mnistzip.ModelError, match="needs the custom model"):
            mnistzip.Archive(plain)[0]
    expected = mnistzip.Archive(plain, model=own_model)[:]
    assert (np.stack(mnistzip.Archive(whole)[:]) == np.stack(expected)).all()
    assert (np.stack(mnistzip.Archive(whole, model="mnist")[:]) == np.stack(expected)).all()  # what ships is at hand anyway
    assert mnistzip.Archive(whole).holds_model
    assert not mnistzip.Archive(plain).holds_model
    with pytest.raises(mnistzip.OptionError, match="ships with mnistzip"):
        mnistzip.encode_archive(digits[:5], embed_model=True)


def test_an_embedded_model_stays_when_appending_and_is_the_only_one(own_model: Path, digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "a.cae"
    path.write_bytes(mnistzip.encode_archive(digits[:5], model=own_model, embed_model=True))
    with mnistzip.ArchiveWriter(path, model="mnist", append=True) as writer:
        writer.extend(digits[5:8])
    archive = mnistzip.Archive(path)
    assert archive.holds_model
    assert len(archive[:]) == 8
    other = tmp_path / "other.npz"
    other.write_bytes(forge.own("mnist-fast"))
    before = path.read_bytes()
    with pytest.raises(mnistzip.OptionError, match="holds another model"):
        mnistzip.ArchiveWriter(path, model=other, append=True, embed_model=True)
    assert path.read_bytes() == before


def test_an_embedded_model_that_is_damaged_or_another_is_refused(own_model: Path, digits: Pixels) -> None:
    whole = bytearray(mnistzip.encode_archive(digits[:5], model=own_model, embed_model=True))
    damaged = bytearray(whole)
    damaged[-100_000] ^= 1
    with pytest.raises(mnistzip.ModelError, match="in the archive"):
        mnistzip.Archive(bytes(damaged))[0]
    file = own_model.read_bytes()
    another = forge.own("mnist-fast")
    at = bytes(whole).index(file)
    swapped = bytes(whole[:at]) + another + bytes(whole[at + len(file) :])
    with pytest.raises(mnistzip.ModelError, match="needs the custom model"):
        mnistzip.Archive(swapped)[0]
    without = bytes(whole[:at]) + bytes(whole[at + len(file) :])  # the flag is set, and nothing is there
    with pytest.raises(mnistzip.FormatError, match="do not fill"):
        mnistzip.Archive(without)


def test_an_embedded_model_is_read_once_even_if_it_is_another(
    own_model: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch, small_groups: None
) -> None:
    read: list[str] = []
    read_model = mnistzip.models.registry.read_model

    def counted(content: bytes, name: str) -> mnistzip.models.registry.Model:
        read.append(name)
        return read_model(content, name)

    monkeypatch.setattr("mnistzip.archive.part_models.registry.read_model", counted)
    whole = mnistzip.encode_archive(digits, model=own_model, embed_model=True, effort=0)
    at = whole.index(own_model.read_bytes())
    another = whole[:at] + forge.own("mnist-fast") + whole[at + own_model.stat().st_size :]
    for data, lost in ((whole, 0), (another, 64), (whole[:at] + b"x" + whole[at + 1 :], 64)):
        read.clear()
        archive = mnistzip.Archive(data)
        images = [image for part in archive.parts() for image in part.images]
        assert sum(isinstance(image, mnistzip.ModelError) for image in images) == lost
        for image in images[-lost:] if lost else []:  # each group raised the same error: it does not grow
            assert isinstance(image, mnistzip.ModelError)
            assert len(list(traceback.walk_tb(image.__traceback__))) < 10
        assert read == ["in the archive"]


def test_a_range_within_a_group_decodes_and_reports_errors(digits: Pixels) -> None:
    data = bytearray(mnistzip.encode_archive(digits[:20], lossless=True, model="mnist"))  # lanes of four
    group = next(iter(mnistzip.Archive(bytes(data)).groups()))
    assert not isinstance(group, mnistzip.MnistzipError)
    assert group.header.per_lane == 4
    assert same(list(mnistzip.Archive(bytes(data))), list(digits[:20]))
    for start, stop in ((5, 20), (9, 11), (0, 7), (13, 14), (4, 8)):
        (part,) = mnistzip.Archive(bytes(data)).parts(start, stop)
        assert part.first == start
        assert same(part.images, list(digits[start:stop]))  # type: ignore[arg-type]
    data[4 + 16] ^= 1  # the fingerprint, so that no lane can be read
    head, rest = bytes(data[4 : 4 + HEADER_BYTES - 4]), bytes(data[4 + HEADER_BYTES :])
    check = zlib.crc32(rest[: group.header.table_bytes], zlib.crc32(head))
    data = bytearray(data[:4] + head + check.to_bytes(4, "little") + rest)
    for start, stop in ((5, 20), (9, 11), (0, 7)):
        (part,) = mnistzip.Archive(bytes(data)).parts(start, stop)
        assert [type(image) for image in part.images] == [mnistzip.ModelError] * (stop - start)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("lossless", [False, True])
def test_progress_moves_within_a_group_and_ends_at_the_number_of_images(lossless: bool, threads: int, digits: Pixels) -> None:
    done: list[float] = []
    options = {"lossless": lossless, "effort": 1, "threads": threads}
    with mnistzip.ArchiveWriter(io.BytesIO(), progress=done.append, **options) as writer:
        writer.extend(np.concatenate([digits, digits]))
    assert sum(done) == pytest.approx(128)
    assert min(done) > 0
    if not lossless:
        assert max(done) <= 64  # of a group of 128
