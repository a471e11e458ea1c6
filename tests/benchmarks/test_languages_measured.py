"""The benchmark of languages counts what it reads and compares with Python."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load() -> object:
    spec = importlib.util.spec_from_file_location("languages_under_test", ROOT / "benchmarks" / "languages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_counted_by_language_and_large_ones_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.py").write_text("def one():\n    return two()\n" * 8_000)
    (tmp_path / "b.go").write_text("package b\n\nfunc One() int { return Two() }\n" * 6_000)
    (tmp_path / "c.rb").write_text("def broken(\n")
    (tmp_path / "d.txt").write_text("text\n")
    out = tmp_path / "out.json"
    monkeypatch.setattr("sys.argv", ["languages.py", str(tmp_path), "--json", str(out)])
    assert load().main() == 0  # type: ignore[attr-defined]
    found = json.loads(out.read_text())
    rows = {row["language"]: row for row in found["rows"]}
    assert {name: (row["files"], row["broken"]) for name, row in rows.items()} == {
        "python": (1, 0),
        "go": (1, 0),
        "ruby": (1, 1),
    }
    assert (rows["go"]["symbols"], rows["go"]["references"]) == (6_000, 12_000)
    assert set(found["ratios"]) == {"python", "go"}
    assert found["ratios"]["python"] == 1
    assert "go" in capsys.readouterr().out


def test_folders_without_source_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["languages.py", str(tmp_path)])
    assert load().main() == 2  # type: ignore[attr-defined]
    assert "Cure:" in capsys.readouterr().err
