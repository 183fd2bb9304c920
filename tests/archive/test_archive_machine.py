"""Archives as a list of images that grows, is reopened, read and damaged: it must stay that list, or say what is lost.

``HYPOTHESIS_PROFILE=long pytest -m "" tests/archive/test_archive_machine.py`` takes twenty times as long.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import mnistzip
from mnistzip.archive.group import Group
from mnistzip.engines import choice
from mnistzip.idx import read_idx
from mnistzip.types import Pixels
from support import paths
from support.engines import needs_extension

DIGITS = read_idx(paths.DIGITS)
LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

images = st.lists(
    st.one_of(
        st.integers(0, 63).map(lambda k: DIGITS[k]),
        st.tuples(st.integers(0, 63), st.integers(1, 40), st.integers(1, 40)).map(
            lambda told: np.resize(DIGITS[told[0]], told[1:]).astype(np.uint8)
        ),
    ),
    min_size=1,
    max_size=7,
)
ways = st.sampled_from(
    [
        {"lossless": True},
        {"lossless": True, "model": "classic"},
        {"lossless": True, "model": "mnist-fast"},
        {"quality": 30, "effort": 0},
        {"quality": 90, "effort": 0, "model": "mnist-fast"},
        {"quality": 50, "effort": 0, "model": "classic"},
    ]
)


def lossy(image: Pixels, how: dict[str, Any]) -> Pixels | None:
    """What a model keeps of an image, which is every pixel where that takes fewer bytes."""
    if how.get("lossless"):
        return None
    agreed = {"quality": how["quality"], "model": how.get("model", "mnist")}
    stream = mnistzip.encode(image, bare=True, effort=how["effort"], **agreed)
    return mnistzip.decode_bare(stream, shape=image.shape, **agreed)


class Growing(RuleBasedStateMachine):
    """An archive on disk, and beside it what it should hold."""

    engine = "numpy"

    def __init__(self) -> None:
        super().__init__()
        self.chosen = ExitStack()
        self.chosen.enter_context(choice.use(self.engine))
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "x.cae"
        self.images: list[Pixels] = []  # as they are to come back
        self.names: list[str] = []
        self.labels: list[int] = []
        self.starts: list[int] = []

    @initialize(named=st.booleans(), labelled=st.booleans())
    def create(self, named: bool, labelled: bool) -> None:
        self.named, self.labelled = named, labelled
        with mnistzip.ArchiveWriter(self.path):
            pass

    @rule(some=images, how=ways, first=st.integers(-(1 << 40), 1 << 40))
    def append(self, some: list[Pixels], how: dict[str, Any], first: int) -> None:
        names = [f"{len(self.names) + k}/ä.png" for k in range(len(some))] if self.named else None
        labels = [first + k for k in range(len(some))] if self.labelled else None
        with mnistzip.ArchiveWriter(self.path, append=True, **{"model": "mnist", **how}) as writer:
            writer.extend(some, names=names, labels=labels)
            assert writer.count == len(self.images) + len(some)
        assert writer.size == self.path.stat().st_size
        self.starts.append(len(self.images))
        with mnistzip.Archive(self.path) as archive:
            for image, result in zip(some, archive[len(self.images) :], strict=True):
                assert np.array_equal(result, image) or np.array_equal(result, lossy(image, how))
                self.images.append(result)
        self.names += names or []
        self.labels += labels or []

    @rule(some=images)
    def append_that_fails(self, some: list[Pixels]) -> None:
        before = self.path.read_bytes()
        try:
            with mnistzip.ArchiveWriter(self.path, append=True) as writer:
                writer.extend(
                    some, names=["a"] * len(some) if self.named else None, labels=[1] * len(some) if self.labelled else None
                )
                writer.add(some[0].astype(float))
        except mnistzip.ImageError:
            assert self.path.read_bytes() == before
        else:
            raise AssertionError("floats were taken")

    @precondition(lambda self: self.images)
    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        with mnistzip.Archive(self.path) as archive:
            at = data.draw(st.integers(-len(self.images), len(self.images) - 1))
            assert np.array_equal(archive[at], self.images[at])
            cut = slice(
                *(data.draw(st.none() | st.integers(-9, 40)) for _ in range(2)), data.draw(st.sampled_from([None, 1, 2, -1]))
            )
            assert all(map(np.array_equal, archive[cut], self.images[cut]))
            assert len(archive[cut]) == len(self.images[cut])

    @precondition(lambda self: self.images)
    @rule(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def damage(self, at: float, bit: int) -> None:
        """A copy, which goes on whole: what a flipped bit spoils is named, all else is read, and nothing is wrong."""
        content = bytearray(self.path.read_bytes())
        content[int(at * len(content))] ^= 1 << bit
        try:
            archive = mnistzip.Archive(bytes(content))
            parts = list(archive.parts())
        except mnistzip.MnistzipError:
            return
        result = [image for part in parts for image in part.images]
        assert len(result) == len(self.images)
        lost = [k for k, image in enumerate(result) if isinstance(image, mnistzip.MnistzipError)]
        assert all(np.array_equal(image, self.images[k]) for k, image in enumerate(result) if k not in lost)
        groups = {max(start for start in self.starts if start <= k) for k in lost}
        assert len(groups) <= 1, "damage in one group reached another"

    @invariant()
    def is_the_list(self) -> None:
        if not self.path.exists():
            return
        with mnistzip.Archive(self.path) as archive:
            assert len(archive) == len(self.images)
            assert all(map(np.array_equal, archive, self.images))
            assert archive.names == (self.names if self.named and self.images else None)
            assert (None if archive.labels is None else archive.labels.tolist()) == (
                self.labels if self.labelled and self.images else None
            )
            assert sum(1 for group in archive.groups() if isinstance(group, Group)) == len(self.starts)

    def teardown(self) -> None:
        self.chosen.close()
        self.folder.cleanup()


class GrowingNatively(Growing):
    """The same with the native engine."""

    engine = "native"


def some(examples: int) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=10,
        deadline=None,
        derandomize=not LONG,
        suppress_health_check=list(HealthCheck),
    )


class TestGrowingBriefly(Growing.TestCase):  # type: ignore[misc]
    settings = some(8)


@needs_extension
class TestGrowingNativelyBriefly(GrowingNatively.TestCase):  # type: ignore[misc]
    settings = some(8)


@pytest.mark.slow
class TestGrowing(Growing.TestCase):  # type: ignore[misc]
    settings = some(1000 if LONG else 50)


@pytest.mark.slow
@needs_extension
class TestGrowingNatively(GrowingNatively.TestCase):  # type: ignore[misc]
    settings = some(1000 if LONG else 50)
