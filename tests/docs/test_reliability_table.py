"""What the long checks keep for docs/reliability.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from reliability_table import ROOT, Table


def test_a_table_is_printed_and_replaces_that_of_an_earlier_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept.json"
    file.write_text(json.dumps({"kills": {"rows": []}, "other": 1}))
    monkeypatch.setattr(sys, "argv", [str(ROOT / "tools" / "kill.py"), "--times", "5", "--record", str(tmp_path / "images.gz")])
    Table("kills", "command", "kills").add("`compress`", 1000).keep("5 kills", file)
    assert capsys.readouterr().out == "| command | kills |\n|---|---|\n| `compress` | 1,000 |\n"
    kept = json.loads(file.read_text())
    assert kept["other"] == 1
    assert kept["kills"].pop("date")
    assert kept["kills"] == {
        "command": "python tools/kill.py --times 5 images.gz",
        "result": "5 kills",
        "columns": ["command", "kills"],
        "rows": [["`compress`", "1,000"]],
    }


def test_rows_that_did_not_run_again_are_taken_from_an_earlier_run(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    earlier = {
        "date": "2026-01-02",
        "command": "python tools/platforms.py",
        "rows": [["x86-64", "same"], ["aarch64", "differs"], ["s390x", "same"]],
    }
    file.write_text(json.dumps({"platforms": earlier}))
    table = Table("platforms", "platform", "result").add("aarch64", "same now").add("wasm", "same")
    assert table.complete(file).rows == [["x86-64", "same"], ["aarch64", "same now"], ["s390x", "same"], ["wasm", "same"]]
    table.keep("no difference", file)
    kept = json.loads(file.read_text())["platforms"]
    assert (kept["date"], kept["command"]) == ("2026-01-02", "python tools/platforms.py")
