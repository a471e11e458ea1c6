"""The report of a search in a real browser: wide and narrow, light and dark, by mouse and by keyboard, on paper."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from patchwright_engine.report.build import read_report
from patchwright_engine.report.page import render_page
from recorded_search import HOSTILE, poisoned, whole_search, write_trace

SCRIPT = Path(__file__).with_name("report_page.mjs")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
EDITORS = Path(os.environ.get("PATCHWRIGHT_TEST_EDITORS") or CACHE / "patchwright" / "editors")
NODE = EDITORS / "node" / "bin" / "node"
PLAYWRIGHT = EDITORS / "vscode" / "node_modules" / "playwright-core"

pytestmark = [pytest.mark.editor, pytest.mark.timeout(240)]


def looked_at(page: str, folder: Path) -> list[dict[str, Any]]:
    """What a browser tells of a page, once a window size and colour scheme."""
    chromium = shutil.which("chromium")
    if chromium is None or not NODE.exists() or not PLAYWRIGHT.exists():
        message = "No browser is there to look at the report. Cure: make test-editors"
        if os.environ.get("PATCHWRIGHT_REQUIRE_EDITORS"):
            pytest.fail(message)
        pytest.skip(message)
    file = folder / "report ünd 100%.html"
    file.write_text(page, encoding="utf-8")
    command = [str(NODE), str(SCRIPT), str(EDITORS), chromium, str(file)]
    command += [os.environ["PATCHWRIGHT_PICTURES"]] if os.environ.get("PATCHWRIGHT_PICTURES") else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert [(one["width"], one["colorScheme"]) for one in seen] == [
        (width, scheme) for width in (1280, 390) for scheme in ("light", "dark")
    ]
    return list(seen)


def page_of(steps: list[dict[str, Any]], folder: Path) -> str:
    return render_page(read_report(write_trace(folder / "t.jsonl", steps)), "/traces/t.jsonl")


def test_a_click_a_key_and_a_jump_open_diffs_and_outputs_and_the_page_never_overflows(tmp_path: Path) -> None:
    steps = whole_search()
    for step in steps:
        if "diff" in step:
            step["diff"] = step["diff"].replace("return a + b", "return " + "a + " * 100 + "b")
    for seen in looked_at(page_of(steps, tmp_path), tmp_path):
        assert (seen["console"], seen["requests"], seen["dialogs"]) == ([], [], [])
        assert (seen["closed"], seen["clicked"]) == (False, True)
        assert (seen["output"], seen["outputClicked"]) == (False, True)
        assert (seen["keyboardClosed"], seen["keyboardOpened"]) == (False, True)
        assert seen["jumped"]
        assert (seen["overflow"], seen["overflowOpened"]) == (0, 0)
        assert seen["scrollingDiffs"]
        assert seen["background"] == ("rgb(250, 249, 246)" if seen["colorScheme"] == "light" else "rgb(19, 19, 18)")
        assert (seen["printed"], seen["printedBackground"]) == (True, "rgb(255, 255, 255)")


def test_a_hostile_trace_acts_in_no_browser(tmp_path: Path) -> None:
    poison = (
        " ".join(HOSTILE) + "W" * 500 + "<img src=x onerror=\"document.title='hit'\"><style>*{display:none}</style>"
    )
    steps = [poisoned(step, poison) for step in whole_search()]
    for seen in looked_at(page_of(steps, tmp_path), tmp_path):
        assert (seen["console"], seen["requests"], seen["dialogs"]) == ([], [], [])
        assert seen["title"].startswith("`add` subtracts")
        assert (seen["clicked"], seen["jumped"]) == (True, True)
        assert (seen["overflow"], seen["overflowOpened"]) == (0, 0)
