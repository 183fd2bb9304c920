"""Shards: the plan, what a worker makes of one, and going on after a stop. Ray itself is started in test_ray.py."""

from __future__ import annotations

import errno
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image

import mnistzip
from mnistzip.archive import writer as pack
from mnistzip.archive.group import Group
from mnistzip.archive.index import Origin
from mnistzip.errors import FormatError, ImageError, ModelError, OptionError
from mnistzip.idx import idx_header
from mnistzip.io.image_streams import open_source
from mnistzip.plugins import sharding
from mnistzip.plugins.shard_folder import begin, locked
from mnistzip.plugins.sharding import Report, pack_shard, plan
from mnistzip.types import Mode, Pixels


@pytest.fixture
def idx(digits: Pixels, tmp_path: Path) -> Path:
    path = tmp_path / "digits-idx3-ubyte"
    path.write_bytes(idx_header(digits.shape) + digits.tobytes())
    return path


def sources_of(digits: Pixels, folder: Path) -> dict[str, Path]:
    """The digits as each kind of source."""
    raw = idx_header(digits.shape) + digits.tobytes()
    paths = {kind: folder / kind for kind in ("idx", "idx.gz", "digits.npy", "digits.npz", "digits.cae", "digits.parquet")}
    paths["idx"].write_bytes(raw)
    paths["idx.gz"].write_bytes(gzip.compress(raw))
    np.save(paths["digits.npy"], digits)
    np.savez(paths["digits.npz"], images=digits)
    paths["digits.cae"].write_bytes(mnistzip.encode_archive(digits, lossless=True))
    table = pyarrow.table({"image": mnistzip.encode_many(digits, lossless=True)})
    pyarrow.parquet.write_table(table, paths["digits.parquet"], row_group_size=10)
    paths["folder"] = folder / "folder"
    paths["folder"].mkdir()
    for k, digit in enumerate(digits):
        Image.fromarray(digit).save(paths["folder"] / f"{k:02}.png")
    return paths


def run(sources: list[Path], out: Path, resume: bool = False, **options: Any) -> list[Report]:
    """All shards that are left, one after the other."""
    job, planned = plan([str(source) for source in sources], str(out), **options)
    left, _ = begin(job, planned, resume)
    return [pack_shard(job, job.find_model(), shard) for shard in left]


def modes_of(archive: mnistzip.Archive) -> set[Mode]:
    """How the images of an archive are coded."""
    return {part.coding.mode for group in archive.groups() if isinstance(group, Group) for part in group.parts}


def images_in(folder: Path) -> list[Pixels]:
    return [image for path in sorted(folder.glob("part-*.cae")) for image in mnistzip.Archive(path)]


@pytest.mark.slow
def test_every_kind_of_source_is_read_from_any_image_on(
    digits: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "GROUP_IMAGES", 16)
    monkeypatch.setattr("mnistzip.io.parquet.BATCH", 4)
    for path in sources_of(digits, tmp_path).values():
        for first in (0, 9, 17, 20, 63, 64):
            items = list(open_source(str(path), first=first).items)
            assert len(items) == 64 - first, path
            assert all((item.image == digit).all() for item, digit in zip(items, digits[first:], strict=True)), path


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 23])
def test_shards_of_every_kind_of_source_hold_its_images_in_order(size: int, digits: Pixels, tmp_path: Path) -> None:
    for kind, path in sources_of(digits, tmp_path).items():
        reports = run([path], tmp_path / f"out-{kind}", lossless=True, shard_size=size)
        assert [report.error for report in reports] == [None] * -(-64 // size)
        assert np.array_equal(np.stack(images_in(tmp_path / f"out-{kind}")), digits), kind


def test_a_shard_is_the_archive_that_the_writer_makes_of_its_images(idx: Path, digits: Pixels, tmp_path: Path) -> None:
    run([idx], tmp_path / "out", effort=0, quality=60, shard_size=40)
    for number, part in enumerate((digits[:40], digits[40:])):
        alone = io.BytesIO()
        with mnistzip.ArchiveWriter(alone, effort=0, quality=60, origin=Origin.IDX) as writer:
            writer.extend(part)
        assert (tmp_path / "out" / f"part-{number:05}.cae").read_bytes() == alone.getvalue()


def test_parquet_shards_hold_the_files_of_single_images_by_their_lengths(idx: Path, digits: Pixels, tmp_path: Path) -> None:
    labels = tmp_path / "labels.npy"
    np.save(labels, np.arange(128))
    reports = run([idx, idx], tmp_path / "out", to="parquet", effort=0, shard_size=40, labels=str(labels))
    table = pyarrow.parquet.read_table(tmp_path / "out")  # what begins with _ is no part of it
    assert table["image"].to_pylist() == 2 * mnistzip.encode_many(digits, effort=0)
    assert table["label"].to_pylist() == list(range(128))
    column = pyarrow.parquet.read_metadata(tmp_path / "out" / "part-00000.parquet").row_group(0).column(0)
    assert "DELTA_LENGTH_BYTE_ARRAY" in column.encodings
    assert [(report.images, report.squared_error) for report in reports] == [(40, None), (24, None)] * 2


def test_names_and_labels_stay_with_their_images(digits: Pixels, tmp_path: Path) -> None:
    for name in ("a/x", "b/y"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for k in range(3):
            Image.fromarray(digits[k]).save(folder / f"{k}.png")
    np.save(tmp_path / "labels.npy", np.arange(6))
    how: dict[str, Any] = {"lossless": True, "shard_size": 2, "labels": str(tmp_path / "labels.npy")}
    run([tmp_path / "a", tmp_path / "b"], tmp_path / "out", **how)
    archives = [mnistzip.Archive(path) for path in sorted((tmp_path / "out").glob("*.cae"))]
    assert [archive.names for archive in archives] == [
        ["a/x/0.png", "a/x/1.png"],
        ["a/x/2.png"],
        ["b/y/0.png", "b/y/1.png"],
        ["b/y/2.png"],
    ]
    assert [archive.labels.tolist() for archive in archives if archive.labels is not None] == [[0, 1], [2], [3, 4], [5]]


def test_a_folder_of_files_that_hold_many_images_is_all_of_them(idx: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b", "a"):
        (tmp_path / "in" / name).write_bytes(idx.read_bytes())
    _, planned = plan([str(tmp_path / "in")], str(tmp_path / "out"), shard_size=40, effort=0)
    assert [(Path(shard.source).name, shard.first, shard.count) for shard in planned] == [
        ("a", 0, 40),
        ("a", 40, 24),
        ("b", 0, 40),
        ("b", 40, 24),
    ]


def test_finished_shards_are_skipped_and_counted(idx: Path, digits: Pixels, tmp_path: Path) -> None:
    out = tmp_path / "out"
    how: dict[str, Any] = {"lossless": True, "shard_size": 10}
    run([idx], out, **how)
    before = {path.name: path.read_bytes() for path in out.glob("part-*")}
    (out / "part-00002.cae").unlink()  # lost
    (out / "_reports" / "part-00004.json").unlink()  # the worker was killed before its report
    (out / "part-00005.cae").write_bytes(b"cut")
    for name in (".mnistzip-part-00005.cae-x_1.partial", "_reports/.mnistzip-part-00004.json-a.partial"):
        (out / name).write_bytes(b"left by a worker that was killed")
    (out / "_reports" / "part-00002.begun").write_bytes(b"*")
    others = [
        ".mnistzip-digits.cae-x.partial",
        ".mnistzip-x.partial",
        "_reports/mine.begun",
        "_reports/part-00007.begun",
        "x.partial",
    ]
    for name in others:  # of somebody else, or of another command that is at work
        (out / name).write_bytes(b"not ours")
    assert [report.shard for report in run([idx], out, resume=True, **how)] == [2, 4, 5]
    assert {path.name: path.read_bytes() for path in out.glob("part-*")} == before
    assert {(out / name).read_bytes() for name in others} == {b"not ours"}
    left = {str(path.relative_to(out)) for path in out.rglob("*") if "partial" in path.name or "begun" in path.name}
    assert left == set(others)
    _, summary = begin(*plan([str(idx)], str(out), **how), resume=True)
    assert (summary.shards, summary.resumed, summary.images, summary.raw_bytes) == (7, 7, 64, digits.size)
    assert (summary.bytes, summary.psnr_db) == (sum(map(len, before.values())), float("inf"))


def test_a_folder_in_use_is_refused(idx: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    how: dict[str, Any] = {"effort": 0, "shard_size": 40}
    run([idx], out, **how)
    for resume, other, output in (
        (False, {}, "not an empty folder"),
        (True, {"quality": 51}, "started with other quality"),
        (True, {"shard_size": 41}, "started with other shards"),
        (True, {"model": "classic"}, "started with other model, fingerprint"),
    ):
        with pytest.raises(OptionError, match=output):
            run([idx], out, resume, **{**how, **other})
    (out / "_manifest.json").write_text("{")
    with pytest.raises(FormatError, match="damaged"):
        run([idx], out, True, **how)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(OptionError, match="no packing was started"):
        run([idx], tmp_path / "full", True, **how)
    with pytest.raises(OptionError, match="not an empty folder"):
        run([idx], idx, **how)


def test_images_that_cannot_be_taken_are_named_and_the_others_packed(digits: Pixels, tmp_path: Path) -> None:
    folder = sources_of(digits[:4], tmp_path)["folder"]
    (folder / "01.png").write_bytes(b"no image")
    (report,) = run([folder], tmp_path / "out", lossless=True)
    assert (report.images, report.failed, report.error) == (3, 1, None)
    assert "01.png is not a readable image" in report.failures[0]
    assert np.array_equal(np.stack(images_in(tmp_path / "out")), digits[[0, 2, 3]])


def test_a_failing_disk_is_tried_again_and_then_reported(idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job, (shard,) = plan([str(idx)], str(tmp_path / "out"), lossless=True)
    begin(job, [shard], resume=False)
    write, pauses = sharding._write_archive, []
    faults = [OSError(errno.EIO, "no answer")] * 2

    def failing(*arguments: Any) -> None:
        if faults:
            raise faults.pop()
        write(*arguments)

    monkeypatch.setattr(sharding, "_write_archive", failing)
    report = pack_shard(job, job.find_model(), shard, sleep=pauses.append)
    assert (report.images, report.error, pauses) == (64, None, [2, 4])
    faults += [OSError(errno.ENOSPC, "no room")] * 3
    report = pack_shard(job, job.find_model(), shard, sleep=lambda _: None)
    assert report.error is not None
    assert "part-00000: [Errno 28] no room" in report.error


def test_a_damaged_source_is_an_error_of_its_shard(digits: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "cut"
    path.write_bytes((idx_header(digits.shape) + digits.tobytes())[:-1])
    first, second = run([path], tmp_path / "out", lossless=True, shard_size=32)
    assert first.error is None or "bytes of data for the shape" in first.error
    assert second.error is not None
    assert "bytes of data for the shape" in second.error
    assert not (tmp_path / "out" / "part-00001.cae").exists()


def test_a_source_that_changed_is_noticed(digits: Pixels, idx: Path, tmp_path: Path) -> None:
    job, planned = plan([str(idx)], str(tmp_path / "out"), lossless=True, shard_size=32)
    begin(job, planned, resume=False)
    idx.write_bytes(idx_header((40, 28, 28)) + digits[:40].tobytes())
    report = pack_shard(job, job.find_model(), planned[1])
    assert report.error is not None
    assert "fewer images than when the plan was made" in report.error


def test_lossless_shards_are_of_the_model_that_was_asked_for(idx: Path, digits: Pixels, tmp_path: Path) -> None:
    for kind in ("cae", "parquet"):
        run([idx], tmp_path / kind, to=kind, lossless=True, model="classic")
    single = mnistzip.encode_archive(digits[:3], lossless=True, model="classic")
    assert modes_of(mnistzip.Archive(tmp_path / "cae" / "part-00000.cae")) == {Mode.STORED}
    assert modes_of(mnistzip.Archive(single)) == {Mode.STORED}
    rows = pyarrow.parquet.read_table(tmp_path / "parquet" / "part-00000.parquet")["image"].to_pylist()
    assert rows == mnistzip.encode_many(images_in(tmp_path / "cae"), lossless=True, model="classic")
    job, _ = plan([str(idx)], str(tmp_path / "out"), lossless=True)
    with pytest.raises(ModelError, match="one version of mnistzip everywhere"):
        replace(job, fingerprint="00" * 8).find_model()


def test_a_worker_with_other_weights_refuses(idx: Path, tmp_path: Path) -> None:
    job, _ = plan([str(idx)], str(tmp_path / "out"))
    with pytest.raises(ModelError, match="one version of mnistzip everywhere"):
        replace(job, fingerprint="00" * 8).find_model()


def test_bad_options_and_sources_are_refused_before_anything_is_written(idx: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.arange(3))
    for options in ({"to": "png"}, {"shard_size": 0}, {"quality": 0}, {"effort": 10}, {"labels": str(tmp_path / "labels.npy")}):
        with pytest.raises(OptionError):
            plan([str(idx)], str(tmp_path / "out"), **options)  # type: ignore[arg-type]
    with pytest.raises(ModelError):
        plan([str(idx)], str(tmp_path / "out"), model="nowhere.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError):
        plan([str(tmp_path / "empty")], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_the_manifest_does_not_say_where_the_folder_is(idx: Path, tmp_path: Path) -> None:
    run([idx], tmp_path / "out", lossless=True)
    (tmp_path / "out").rename(tmp_path / "moved")
    assert run([idx], tmp_path / "moved", resume=True, lossless=True) == []
    assert json.loads((tmp_path / "moved" / "_manifest.json").read_bytes())["lossless"] is True


def test_two_calls_do_not_work_in_one_folder_at_once(idx: Path, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    job, _ = plan([str(idx)], str(tmp_path / "out"), lossless=True)
    with locked(job), pytest.raises(OptionError, match="is in use: another call writes its shards"), locked(job):
        pass
    with locked(job):
        pass


def test_a_file_system_without_locks_is_packed_into(idx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "no locks")

    monkeypatch.setattr(fcntl, "flock", fail)
    job, _ = plan([str(idx)], str(tmp_path / "out"), lossless=True)
    with locked(job):
        assert (tmp_path / "out").is_dir()
