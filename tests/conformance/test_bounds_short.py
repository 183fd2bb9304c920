"""The hostile inputs of ``tools/bounds.py`` can be made, and a few of them stay within the bounds that are promised."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")]


@pytest.mark.parametrize("source", ["single", "archives", "chunks", "held_models", "model_files"])
def test_inputs_are_small_and_named_once(source: str) -> None:
    import bounds

    seen = set()
    for what, how, _, content in getattr(bounds, source)():
        assert len(content) < bounds.SIZE_MAX, what
        assert (what, how) not in seen
        seen.add((what, how))
    assert seen


@pytest.mark.parametrize("wanted", ["8192x8192 stored, deflate", "group of 65535 images of 32x32 in lanes of 256"])
def test_an_input_takes_little_time_and_memory(wanted: str, tmp_path: Path) -> None:
    import bounds

    inputs = (each for source in (bounds.single, bounds.archives) for each in source())
    _, how, suffix, content = next(each for each in inputs if each[0] == wanted)
    path = tmp_path / f"input.{suffix}"
    path.write_bytes(content)
    outcome = bounds.tried(how, path, 60)
    assert outcome["came"].startswith("read")
    assert outcome["mb"] <= bounds.GOAL_MB
    assert outcome["seconds"] <= bounds.GOAL_SECONDS
