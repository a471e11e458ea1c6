"""`patchwright index`: what is indexed and what is not, with a reason, for every kind of awkward file."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.cli import main
from trees import git

CAP = "larger than 1 MB: data or generated"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATCHWRIGHT_HOME", str(tmp_path / "home"))
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.py").write_text("def first():\n    return 1\n")
    return root


def in_json(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["index", str(root), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert isinstance(report, dict)
    return report


def reasons(report: dict[str, Any]) -> dict[str, str]:
    assert report["skipped"] == len(report["skipped_files"])
    return {one["path"]: one["reason"] for one in report["skipped_files"]}


def test_each_odd_file_is_indexed_or_named_with_its_reason(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "crlf.py").write_bytes(b"def second():\r\n    return 2\r\n")
    (root / "latin.py").write_bytes(b"# caf\xe9\ndef third():\n    return '\xff'\n")
    (root / "bom.py").write_bytes(b"\xef\xbb\xbfdef fourth():\n    return 4\n")
    (root / "cr.py").write_bytes(b"def fifth():\r    return 5\r")
    (root / "line.js").write_bytes(b"x=[" + b"'abcdefgh'," * (10 << 20 >> 3) + b"]\n")
    (root / "data.py").write_bytes(b"x = 1\n" * 200_000)
    (root / "data.csv").write_bytes(b"x = 1\n" * 200_000)
    (root / "zeros.c").write_bytes(b"\0" * 10)
    (root / "out.py").symlink_to("/etc/hosts")
    (root / "dead.txt").symlink_to("nowhere")
    (root / "elsewhere").symlink_to("/etc")
    report = in_json(root, capsys)
    assert (report["files"], report["symbols"]) == (5, 5)
    assert reasons(report) == {
        "data.py": CAP,
        "elsewhere/": "a link out of the workspace",
        "line.js": CAP,
        "out.py": "a link out of the workspace",
        "zeros.c": "binary",
    }


def test_few_are_shown_one_by_one_and_many_by_reason(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "zeros.c").write_bytes(b"\0")
    assert main(["index", str(root)]) == 0
    told = capsys.readouterr().out
    assert "skipped     1\n  zeros.c: binary\n" in told
    for number in range(30):
        (root / f"zeros{number:02}.c").write_bytes(b"\0")
    (root / "out.py").symlink_to("/etc/hosts")
    assert main(["index", str(root)]) == 0
    told = capsys.readouterr().out
    assert "skipped     32\n  31  binary (zeros.c, zeros00.c, zeros01.c, …)\n" in told
    assert "  1  a link out of the workspace (out.py)\n  --json names all\n" in told
    assert len(reasons(in_json(root, capsys))) == 32


def test_a_name_that_is_not_utf8_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        (root / "caf\udce9.py").write_text("x = 1\n")
    except OSError:
        pytest.skip("this file system has no such names")
    assert reasons(in_json(root, capsys)) == {"caf\udce9.py": "its name is not UTF-8"}
    assert main(["index", str(root)]) == 0
    assert "its name is not UTF-8" in capsys.readouterr().out


def test_submodules_are_indexed_or_named(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    library = tmp_path / "library"
    library.mkdir()
    (library / "lib.py").write_text("def library():\n    pass\n")
    for folder in (library, root):
        git(folder, "init", "--quiet")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "first")
    git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "lib")
    report = in_json(root, capsys)
    assert (report["files"], report["symbols"], report["skipped"]) == (2, 2, 0)
    git(root, "submodule", "--quiet", "deinit", "--force", "lib")
    report = in_json(root, capsys)
    assert report["files"] == 1
    assert "git submodule update --init" in reasons(report)["lib/"]


def test_a_switch_of_branches_is_followed_there_and_back(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(root, "init", "--quiet")
    for number in range(30):
        (root / f"m{number}.py").write_text(f"def old{number}():\n    pass\n")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    git(root, "switch", "--quiet", "--create", "side")
    for number in range(0, 30, 2):
        git(root, "mv", f"m{number}.py", f"n{number}.py")
        (root / f"m{number + 1}.py").write_text(f"class New{number}:\n    def run(self):\n        pass\n")
    git(root, "commit", "--quiet", "--all", "--message", "second")
    assert (in_json(root, capsys)["symbols"], in_json(root, capsys)["files"]) == (1 + 15 + 30, 31)
    git(root, "switch", "--quiet", "-")
    back = in_json(root, capsys)
    assert (back["symbols"], back["files"], back["cache_hits"]) == (31, 31, 16)
    git(root, "switch", "--quiet", "side")
    assert in_json(root, capsys)["cache_hits"] == 31


def test_a_folder_that_git_refuses_is_indexed_as_a_plain_one(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    (root / ".gitignore").write_text("made.py\n")
    (root / "made.py").write_text("x = 1\n")
    (root / ".git" / "HEAD").write_text("nonsense\n")
    report = in_json(root, capsys)
    assert (report["files"], report["skipped"]) == (1, 0)
