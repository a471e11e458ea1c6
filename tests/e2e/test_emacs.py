"""Plain LSP in a real Emacs (`emacs -nw` on a terminal of its own) with eglot, as editors/README.md sets it up, against
the real server, pipeline and sandbox with a scripted model. `make test-editors` installs Emacs and eglot."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo_project import CALC, FILES, FIXED, ISSUE, JUDGE, PIECES, REPAIR, REPRODUCTION, check_untouched
from scripted_model import Rule, serve_scripted

ROOT = Path(__file__).parents[2]
DRIVE = Path(__file__).parent / "emacs" / "drive.el"
STORY_SECONDS = 150
"""A bound for a hanging editor, not a measure."""

pytestmark = [pytest.mark.editor, pytest.mark.timeout(STORY_SECONDS + 60)]

Story = Callable[..., None]


@pytest.fixture(scope="session")
def emacs() -> str:
    """Skip with the cure where Emacs or eglot is not installed; fail where they were promised."""
    found = shutil.which("emacs")
    probe = [found or "emacs", "--batch", "-q", "--eval", "(progn (package-initialize) (require 'eglot))"]
    if found is None or subprocess.run(probe, check=False, capture_output=True, timeout=60).returncode != 0:
        message = "Emacs with eglot is not there. Cure: make test-editors, or apt install emacs-nox elpa-eglot"
        if os.environ.get("PATCHWRIGHT_REQUIRE_EDITORS"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def configuration(folder: Path) -> Path:
    """The page's own Lisp, with the place of this checkout filled in."""
    page = (ROOT / "editors" / "README.md").read_text(encoding="utf-8")
    (lisp,) = [
        block for block in re.findall(r"```elisp\n(.*?)```", page, re.DOTALL) if "eglot-server-programs" in block
    ]
    placed = lisp.replace("~/.local/share/patchwright", str(ROOT))
    assert placed != lisp
    file = folder / "init.el"
    file.write_text(placed, encoding="utf-8")
    return file


@pytest.fixture
def tell(emacs: str, project: Path, settings: dict[str, Any], tmp_path: Path) -> Story:
    """Tells a story (Lisp) in an Emacs of its own, on the demo project."""

    def run(story: str, **more: Any) -> None:
        home, commands, report = tmp_path / "emacs-home", tmp_path / "bin", tmp_path / "report"
        home.mkdir()
        commands.mkdir()
        server = commands / "patchwright"
        server.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m patchwright_engine "$@"\n')
        server.chmod(0o755)
        file = tmp_path / "story.el"
        file.write_text(f";; -*- lexical-binding: t; coding: utf-8 -*-\n{story}", encoding="utf-8")
        subprocess.run(["git", "init", "-q", str(project)], check=True, timeout=20)
        given = {
            "config": str(configuration(tmp_path)),
            "file": str(project / "calc.py"),
            "story": str(file),
            "settings": {**settings, **more},
        }
        environment = {
            **os.environ,
            "HOME": str(home),
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "TERM": "xterm",
            "LC_ALL": "C.UTF-8",
            "DRIVE_GIVEN": json.dumps(given),
            "DRIVE_REPORT": str(report),
        }
        code, screen = on_terminal([emacs, "-nw", "-q", "-l", str(DRIVE)], environment, project)
        shutil.rmtree(project / ".git")
        assert code == 0, report.read_text(encoding="utf-8", errors="replace") if report.exists() else screen[-4000:]

    return run


def on_terminal(command: list[str], environment: dict[str, str], folder: Path) -> tuple[int, bytes]:
    """Run a program on a terminal of its own; its exit status and what it drew."""
    ours, theirs = pty.openpty()
    drawn = bytearray()

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side is closed
                return
            drawn.extend(part)

    process = subprocess.Popen(  # setsid makes the terminal its own, which Emacs opens as /dev/tty
        ["setsid", "--ctty", *command], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder
    )
    os.close(theirs)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        return process.wait(STORY_SECONDS), bytes(drawn)
    except subprocess.TimeoutExpired:
        return -1, bytes(drawn)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join(10)
        os.close(ours)


def lisp(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def test_a_selection_is_fixed_by_code_actions_applied_and_undone(tell: Story, project: Path) -> None:
    tell(f"""
    (goto-char (point-min))
    (insert "# ünsaved 漢字 😀\\n")
    (let ((before (drive-text)))
      (goto-char (point-min))
      (search-forward "def add")
      (drive-type "C-a C-SPC C-n C-n M-x eglot-code-actions RET Fix RET")
      (drive-said "Server reports (type=3): Patchwright: Something is wrong in the selected lines, calc.py:5-7")
      (drive-said "Patchwright: 1 fix; the best: a reproduction test fails before and passes after")
      (drive-type "C-g")
      (goto-char (point-min))
      (search-forward "def add")
      (drive-type "C-a M-x eglot-code-actions RET Apply RET")
      (drive-wait "the edit" (lambda () (not (equal (drive-text) before))))
      (drive-is (drive-text) {lisp("# ünsaved 漢字 😀" + chr(10) + FIXED)})
      (drive-is (buffer-modified-p (get-buffer "calc.py")) t)
      (drive-type "C-/")
      (drive-is (drive-text) before))
    """)
    check_untouched(project)


def test_an_issue_in_words_is_shown_declined_applied_and_saved(tell: Story, project: Path) -> None:
    tell(f"""
    (patchwright-fix {lisp(ISSUE)})
    (drive-said "Patchwright: 1 fix; the best: a reproduction test fails before and passes after")
    (drive-type "M-x patchwright-show RET RET")
    (drive-wait "the diff" (lambda () (get-buffer "*patchwright fix*")))
    (with-current-buffer "*patchwright fix*"
      (unless (string-search "# reproduction: 1 failed -> 1 passed" (buffer-string)) (error "%s" (buffer-string)))
      (unless (string-search "+    return a + b" (buffer-string)) (error "%s" (buffer-string))))
    (drive-ask "M-x patchwright-apply RET RET" "Server wants to edit" "n")
    (drive-said "Patchwright: the editor refused the edit (User cancelled server edit)")
    (drive-is (drive-text) {lisp(CALC)})
    (drive-ask "M-x patchwright-apply RET RET" "Server wants to edit" "y")
    (drive-said "Patchwright: applied")
    (drive-type "C-x C-s")
    (drive-wait "the file" (lambda () (not (buffer-modified-p (get-buffer "calc.py")))))
    """)
    assert (project / "calc.py").read_text(encoding="utf-8") == FIXED


@pytest.mark.parametrize("keys", ["M-x patchwright-cancel RET", "C-a M-x eglot-code-actions RET Cancel RET"])
def test_a_fix_is_cancelled(tell: Story, project: Path, keys: str) -> None:
    hanging = Rule(REPAIR.answers, match=REPAIR.match, fault="hang")
    with serve_scripted(FILES, PIECES, REPRODUCTION, hanging, JUDGE) as server:
        tell(
            f"""
            (patchwright-fix {lisp(ISSUE)})
            (drive-wait "repair" (lambda () (equal (plist-get (car (patchwright--jobs)) :stage) "repair")))
            (drive-type {lisp(keys)})
            (drive-said "Patchwright: Cancelled")
            (drive-is (plist-get (car (patchwright--jobs)) :state) "cancelled")
            (drive-is (drive-text) {lisp(CALC)})
            """,
            model=server.url,
        )
    check_untouched(project)
