"""The data set of PyTorch, with the real torch and beside the real torchvision."""

from __future__ import annotations

import os
import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from PIL import Image
from torch.utils.data import DataLoader, default_collate

import mnistzip
from mnistzip.archive import writer
from mnistzip.errors import FormatError, OptionError
from mnistzip.plugins.torch import ArchiveDataset
from mnistzip.types import Pixels
from torch_speed import mnist_of, to_tensor

pytestmark = pytest.mark.torch

LABELS = np.arange(64) * 7 % 10


# Where torchvision is of another build than torch, torchmetrics cannot be imported beside it: so the tests do not install it.
beside_torchvision = pytest.mark.skipif(
    find_spec("torchvision") is None, reason="compares with torchvision: pip install torchvision"
)


@pytest.fixture
def archive(digits: Pixels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """64 digits, every pixel kept, in groups of 16."""
    monkeypatch.setattr(writer, "GROUP_IMAGES", 16)
    path = tmp_path / "digits.cae"
    path.write_bytes(mnistzip.encode_archive(digits, labels=LABELS, lossless=True))
    return path


def seen(loader: DataLoader[Any]) -> tuple[Pixels, list[int]]:
    """All images and labels of a loader, in its order."""
    batches = list(loader)
    images = torch.cat([images for images, _ in batches]).squeeze(1).mul(255).round().to(torch.uint8)
    return images.numpy(), torch.cat([labels for _, labels in batches]).tolist()


@beside_torchvision
def test_items_are_those_of_torchvisions_mnist(archive: Path, digits: Pixels, tmp_path: Path) -> None:
    peer, ours = mnist_of(tmp_path, digits, LABELS), ArchiveDataset(archive)
    assert len(ours) == len(peer) == 64
    assert ours.targets is not None
    assert torch.equal(ours.targets, peer.targets)
    for index in (0, 17, 63, -1):
        (image, label), (wanted, number) = ours[index], peer[index]
        assert isinstance(image, Image.Image)
        assert (image.mode, image.size, type(label), label) == (wanted.mode, wanted.size, type(number), number)
        assert image.tobytes() == wanted.tobytes()


@beside_torchvision
def test_the_same_training_code_sees_the_same_batches(archive: Path, digits: Pixels, tmp_path: Path) -> None:
    how: dict[str, Any] = {"batch_size": 10, "shuffle": True}
    peer = mnist_of(tmp_path, digits, LABELS, to_tensor)
    ours = ArchiveDataset(archive, transform=to_tensor)
    batches = [list(DataLoader(data, generator=torch.Generator().manual_seed(3), **how)) for data in (peer, ours)]
    for (images, labels), (wanted, numbers) in zip(*batches, strict=True):
        assert torch.equal(images, wanted)
        assert torch.equal(labels, numbers)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_give_what_one_process_gives(start: str, archive: Path, digits: Pixels) -> None:
    data = ArchiveDataset(archive, transform=to_tensor)
    assert data[3][1] == LABELS[3]  # decoded in the parent first, whose open archive a forked worker must not use
    images, labels = seen(DataLoader(data, 10, num_workers=2, multiprocessing_context=start))
    assert np.array_equal(images, digits)
    assert labels == LABELS.tolist()


def test_a_forked_process_opens_the_archive_for_itself(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = ArchiveDataset(archive)
    before = data._open()
    assert data._open() is before
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert data._open() is not before


def test_a_relative_path_means_the_same_file_in_other_folders(
    archive: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(archive.parent)
    data = ArchiveDataset(archive.name)
    monkeypatch.chdir("/")
    assert (np.asarray(pickle.loads(pickle.dumps(data))[5][0]) == digits[5]).all()
    monkeypatch.setattr(os, "getpid", lambda: -1)  # a worker that was forked
    assert (np.asarray(data[6][0]) == digits[6]).all()


@pytest.mark.parametrize("change", ["labels", "order", "count"])
def test_images_of_an_archive_that_was_replaced_are_never_given_old_labels(
    change: str, archive: Path, digits: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ArchiveDataset(archive)
    images, labels = {
        "labels": (digits, LABELS[::-1]),
        "order": (digits[::-1], LABELS),
        "count": (digits[:50], LABELS[:50]),
    }[change]
    other = archive.with_name("other.cae")
    other.write_bytes(mnistzip.encode_archive(images, labels=labels, lossless=True))
    os.replace(other, archive)
    assert (np.asarray(data[3][0]) == digits[3]).all()  # this process still has the old file
    with pytest.raises(FormatError, match=r"digits\.cae was replaced.*make the data set, again"):
        pickle.loads(pickle.dumps(data))[3]
    monkeypatch.setattr(os, "getpid", lambda: -1)  # a worker that was forked
    with pytest.raises(FormatError, match="was replaced"):
        data[3]
    assert (np.asarray(ArchiveDataset(archive)[3][0]) == images[3]).all()


def test_an_archive_that_is_overwritten_in_place_is_not_called_damaged(archive: Path, digits: Pixels) -> None:
    data = ArchiveDataset(archive)
    archive.write_bytes(mnistzip.encode_archive(digits[::-1], labels=LABELS, lossless=True))
    with pytest.raises(FormatError, match="was replaced"):
        data.__getitems__(range(64))


def test_a_copy_of_the_archive_elsewhere_in_time_is_the_same_archive(archive: Path, digits: Pixels) -> None:
    data = pickle.dumps(ArchiveDataset(archive))
    content = archive.read_bytes()
    archive.unlink()
    archive.write_bytes(content)
    os.utime(archive, (1, 1))
    assert (np.asarray(pickle.loads(data)[5][0]) == digits[5]).all()


def test_any_integer_is_an_index_and_nothing_else_is(archive: Path) -> None:
    data = ArchiveDataset(archive)
    for index in (3, np.int64(3), np.array(3), torch.tensor(3), torch.tensor(-61, dtype=torch.int8)):
        assert data[index][1] == LABELS[3]  # type: ignore[index]
    for odd in (True, torch.tensor(True), torch.tensor([3]), 3.0, "3", None, [3]):
        with pytest.raises(OptionError, match="no index of an image"):
            data[odd]  # type: ignore[index]
    with pytest.raises(IndexError, match="image 64 of an archive of 64"):
        data[torch.tensor(64)]  # type: ignore[index]


def test_tensors_are_packed_as_arrays_are(digits: Pixels) -> None:
    wanted = mnistzip.encode_archive(digits[:5], labels=LABELS[:5], lossless=True)
    images, labels = torch.from_numpy(digits[:5].copy()), torch.from_numpy(LABELS[:5])
    assert mnistzip.encode_archive(images, labels=labels, lossless=True) == wanted  # type: ignore[arg-type]
    pairs = list(zip(images, labels.to(torch.int32), strict=True))  # as a data set gives them
    assert mnistzip.encode_archive((i for i, _ in pairs), labels=(k for _, k in pairs), lossless=True) == wanted  # type: ignore[misc]
    read = mnistzip.Archive(wanted).read(torch.tensor([4, 0]))  # type: ignore[arg-type]
    assert (np.stack(read) == digits[[4, 0]]).all()


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(28, 28, requires_grad=True), "detach"),
        (torch.zeros(28, 28, device="meta", dtype=torch.uint8), "cpu"),
        (torch.zeros(1, 28, 28, dtype=torch.uint8), "without the axis of length 1"),
        (torch.zeros(28, 28), "float32: convert it to uint8"),
    ],
)
def test_a_tensor_that_is_no_image_is_refused_with_what_to_do(tensor: torch.Tensor, said: str) -> None:
    with pytest.raises(mnistzip.ImageError, match=said):
        mnistzip.encode(tensor)


def test_pickling_keeps_everything_but_what_is_decoded(archive: Path, digits: Pixels) -> None:
    data = ArchiveDataset(archive, target_transform=str)
    size = len(pickle.dumps(data))
    assert len(data.__getitems__(range(64))) == 64
    assert len(pickle.dumps(data)) == size
    again = pickle.loads(pickle.dumps(data))
    assert (np.asarray(again[5][0]) == digits[5]).all()
    assert again[5][1] == str(LABELS[5])


def test_transforms_are_called_with_image_and_label(archive: Path) -> None:
    data = ArchiveDataset(archive, lambda image: image.size, lambda label: -label)
    assert data[4] == ((28, 28), -LABELS[4])


def test_lossy_images_are_those_of_the_archive(digits: Pixels) -> None:
    packed = mnistzip.encode_archive(digits, labels=LABELS, effort=0)
    batch = ArchiveDataset(packed).__getitems__([60, 3, 3, 10])
    wanted = mnistzip.Archive(packed).read([60, 3, 3, 10])
    assert all((np.asarray(image) == pixels).all() for (image, _), pixels in zip(batch, wanted, strict=True))


@pytest.mark.parametrize("groups", [0, 1, 2.5, 4])
def test_whatever_fits_into_the_cache_the_images_are_the_same(groups: float, archive: Path, digits: Pixels) -> None:
    data = ArchiveDataset(archive, transform=to_tensor, cache_bytes=int(groups * 16 * 784))
    for order in (range(64), np.random.default_rng(0).permutation(64).tolist(), [5] * 3):
        images, labels = default_collate(data.__getitems__(order))
        assert np.array_equal(images.squeeze(1).mul(255).round().numpy(), digits[list(order)])
        assert labels.tolist() == LABELS[list(order)].tolist()


def test_groups_are_decoded_once_while_the_cache_has_room_and_never_kept_beyond_it(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    parts = mnistzip.Archive.parts
    monkeypatch.setattr(mnistzip.Archive, "parts", lambda self, start, stop: decoded.append(start) or parts(self, start, stop))
    ample = ArchiveDataset(archive)
    for index in [*range(64), *range(0, 64, 5)]:
        assert ample[index][1] == LABELS[index]
    assert decoded == [0, 16, 32, 48]
    decoded.clear()
    scarce = ArchiveDataset(archive, cache_bytes=2 * 16 * 784)
    assert len(scarce.__getitems__(range(64))) == 64
    assert list(scarce._groups) == [32, 48]
    monkeypatch.setattr("mnistzip.plugins.torch.GROUP_SHARE", 4)
    decoded.clear()
    assert scarce[0][1] == LABELS[0]  # one image of a group that there is no room for: alone
    assert scarce[40][1] == LABELS[40]  # of one that is there
    assert decoded == []
    assert len(scarce.__getitems__(range(4))) == 4  # worth decoding the others too
    assert decoded == [0]


def test_an_archive_without_labels_gives_images_alone(digits: Pixels) -> None:
    packed = mnistzip.encode_archive(digits[:3], lossless=True)
    data = ArchiveDataset(packed, transform=to_tensor)
    assert data.targets is None
    assert next(iter(DataLoader(data, 3))).shape == (3, 1, 28, 28)
    with pytest.raises(OptionError, match="no labels"):
        ArchiveDataset(packed, target_transform=str)


def test_images_of_several_sizes_are_taken(digits: Pixels) -> None:
    packed = mnistzip.encode_archive([digits[0], digits[1][:9, :5]], labels=[1, 2], lossless=True)
    assert [(image.size, label) for image, label in ArchiveDataset(packed)] == [((28, 28), 1), ((5, 9), 2)]


def test_no_such_image_is_an_index_error(archive: Path) -> None:
    data = ArchiveDataset(archive)
    for index in (64, -65):
        with pytest.raises(IndexError, match="of an archive of 64"):
            data[index]


def test_a_damaged_image_is_named_and_the_others_are_read(archive: Path) -> None:
    with mnistzip.Archive(archive) as whole:
        group = next(whole.groups())
    assert not isinstance(group, mnistzip.MnistzipError)
    content = bytearray(archive.read_bytes())
    content[group.lanes_offset + 5] ^= 1
    data = ArchiveDataset(bytes(content))
    with pytest.raises(FormatError, match="image 3"):
        data[3]
    assert data[20][1] == LABELS[20]


def test_bad_options_are_refused(archive: Path) -> None:
    with pytest.raises(OptionError, match="cache_bytes"):
        ArchiveDataset(archive, cache_bytes=-1)
    with pytest.raises(FormatError):
        ArchiveDataset(b"nothing of the kind")
