"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command does

import numpy as np
import pytest
from numpy.typing import NDArray

from mnistzip.engines import choice
from mnistzip.idx import read_idx
from support.browser import missing_programs, open_chromium
from support.engines import engine_named
from support.paths import DATA


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--except-passed", metavar="XML", help="leave out the tests that passed in a run with --junitxml=XML")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    report = config.getoption("--except-passed")
    if report is None:
        return
    cases = ElementTree.parse(report).iter("testcase")
    passed = {(case.get("classname"), case.get("name")) for case in cases if len(case) == 0}
    selected = [item for item in items if _address(item.nodeid) not in passed]
    config.hook.pytest_deselected(items=[item for item in items if _address(item.nodeid) in passed])
    items[:] = selected


def _address(nodeid: str) -> tuple[str, str]:
    """Class name and name of a test in a JUnit report."""
    base, bracket, parameters = nodeid.partition("[")
    path, *names = base.split("::")
    return ".".join([path.removesuffix(".py").replace("/", "."), *names[:-1]]), names[-1] + bracket + parameters


@pytest.fixture(scope="session", autouse=True)
def no_user_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the models that the user of this machine has added."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MNISTZIP_MODEL_PATH", raising=False)
        for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
            patch.setenv(name, str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(params=choice.NAMES)
def each_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test with each engine; the value is its name."""
    with choice.use(engine_named(request.param)):
        yield request.param


@pytest.fixture(scope="session")
def digits() -> NDArray[np.uint8]:
    """64 MNIST test digits, shape (64, 28, 28)."""
    return read_idx(DATA / "digits-idx3-ubyte.gz")


@pytest.fixture(scope="session")
def digit(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One of them, shape (28, 28)."""
    return digits[0]


@pytest.fixture
def digit_png(tmp_path: Path) -> Path:
    """The path of a PNG file of a digit."""
    path = tmp_path / "digit.png"
    path.write_bytes((DATA / "digit.png").read_bytes())
    return path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless browser."""
    pytest.importorskip("selenium.webdriver", reason="needs selenium: nox -s install")
    if reason := missing_programs():
        pytest.skip(reason)
    with open_chromium() as driver:
        yield driver
