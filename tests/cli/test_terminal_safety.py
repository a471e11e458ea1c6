"""Nothing from a repository, a model or a run acts on the user's terminal, wherever the command line shows it."""

import io
import json
import subprocess
from pathlib import Path

import pytest

from front_door import make_repository, patchwright
from patchwright_engine.cli.display import ResultConsole, SafeConsole, show_result
from patchwright_engine.sandbox.output import visible
from patchwright_engine.types import Cost, Evidence, FileEdit, Fix, FixResult, FixRun, Issue, Patch, RepoPath

EVIL = "\x1b]0;title\x07\x1b[2J\x9b1m\u202e\r"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("Ünïcode ✓ 漢字", "Ünïcode ✓ 漢字"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\x08\x00\x7f\x9b", "a\\x08\\x00\\x7f\\x9b"),
        ("one\r\ntwo\rthree", "one\ntwo\\rthree"),
        ("safe\u202etxet", "safe\\u202etxet"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("undecodable \udcff", "undecodable \\udcff"),
    ],
)
def test_what_would_act_or_hide_is_shown_as_its_escape(raw: str, shown: str) -> None:
    assert visible(raw) == shown


def a_result() -> FixResult:
    patch = Patch((FileEdit(RepoPath(f"src/{EVIL}.py"), f"x = '{EVIL}'\n", f"y = '{EVIL}'\n"),))
    run = FixRun("regression", f"pytest {EVIL}", 0, f"1 failed {EVIL}", f"1 passed {EVIL}", 0.1)
    fix = Fix(
        "0a1b",
        1,
        Evidence.REPRODUCED,
        0.9,
        patch,
        f"changes {EVIL}",
        (run,),
        differences=(f"f({EVIL}): this fix returns {EVIL}",),
        test=FileEdit(RepoPath(f"test_{EVIL}.py"), "", f"# {EVIL}\n", created=True),
        flags=(f"looks odd: {EVIL}",),
    )
    return FixResult(Issue(EVIL), (fix,), Cost(), "verified", Path(f"/traces/{EVIL}"), (f"a note {EVIL}",))


@pytest.mark.parametrize("terminal", [False, True])
def test_a_fix_with_escape_codes_in_every_field_is_harmless(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    show_result(a_result(), ResultConsole())
    shown = capsys.readouterr().out
    assert "Look closely: the patch looks odd: \\x1b]0;title" in shown
    assert "this fix returns \\x1b]0;title" in shown
    assert "Regression test: test_\\x1b]0;title" in shown
    assert ("\x1b[" in shown) is terminal  # the console's own colours
    for dangerous in ("\x1b]", "\x07", "\x1b[2J", "\x9b", "\u202e", "\r"):
        assert dangerous not in shown


def test_what_is_shown_of_ordinary_text_is_unchanged() -> None:
    file = io.StringIO()
    SafeConsole(file=file, width=80).print("Ünïcode ✓ and [brackets]", markup=False)
    assert file.getvalue() == "Ünïcode ✓ and [brackets]\n"


def test_names_in_a_repository_are_harmless_in_every_command(tmp_path: Path) -> None:
    root = make_repository(tmp_path / "project")
    (root / f"calc_{EVIL}.py").write_text("def subtract(a, b):\n    return a - b\n")
    subprocess.run(["git", "add", "."], cwd=root, check=True)
    for arguments in (("locate", "subtract is wrong", "--repo", root), ("index", root)):
        ended = patchwright(*arguments, home=tmp_path)
        assert ended.code == 0, ended.err
        for stream in (ended.out, ended.err):
            assert not any(dangerous in stream for dangerous in ("\x1b]", "\x07", "\x1b[2J", "\x9b", "\u202e"))
    missing = patchwright("locate", "x", "--repo", tmp_path / f"no{EVIL}", home=tmp_path)
    assert missing.code == 2
    assert "\x1b" not in missing.err


def test_paths_and_names_in_files_are_harmless_in_doctor_models_and_env(tmp_path: Path) -> None:
    forged = "ok    forged by a name"
    home = tmp_path / f"home{EVIL}\n{forged}"
    config = home / "patchwright/config"
    config.mkdir(parents=True)
    root = make_repository(home / "project")
    (root / "requirements.txt").write_text("six\nhttps://example.invalid/\x1b[2J.whl\n")
    own = {"name": "mine", "parameters": 1, "licence": f"{EVIL}\n{forged}", "path": str(home / "mine.gguf")}
    entry = "".join(f"{key} = {json.dumps(value)}\n" for key, value in own.items())
    (config / "models.toml").write_text(f"[[model]]\n{entry}")
    (home / "mine.gguf").write_text("<html>")
    shown = ""
    for arguments in (
        ("doctor", "--no-decode", "--model", "http://127.0.0.1:9/v1", "--repo", root),
        ("doctor", "--no-decode", "--model", "mine", "--repo", root),
        ("models", "list"),
        ("models", "verify"),
        ("models", "plan", home / "mine.gguf"),
        ("env", "show", "--repo", root),
        ("env", "plan", "--repo", root),
    ):
        ended = patchwright(*arguments, home=home)
        shown += ended.out + ended.err
        for stream in (ended.out, ended.err):
            assert not any(dangerous in stream for dangerous in ("\x1b", "\x07", "\x9b", "\u202e", "\r")), arguments
            assert not any(line.startswith(forged) for line in stream.splitlines()), arguments
    assert "\\x1b]0;title\\x07" in shown
    assert "\\x1b[2J.whl" in shown
