"""`patchwright trace show`: a recorded search as a readable tree, and a clear no to what is no trace."""

from pathlib import Path

import pytest

from demo_project import ISSUE, RULES
from front_door import end_unread, make_repository, patchwright, start
from scripted_model import serve_scripted


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trace of a real search with a scripted model."""
    home = tmp_path_factory.mktemp("traced")
    root = make_repository(home / "project")
    with serve_scripted(*RULES) as server:
        arguments = ("fix", ISSUE, "--repo", root, "--model", server.url, "--budget", "quick")
        assert patchwright(*arguments, "--trace", home / "t.jsonl", home=home).code == 0
    return home / "t.jsonl"


def test_stages_candidates_verdicts_and_costs_are_shown_in_order(trace: Path, tmp_path: Path) -> None:
    shown = patchwright("trace", "show", trace, home=tmp_path)
    assert shown.code == 0, shown.err
    expected = (
        *("issue, budget quick, seed 0", ISSUE, "index: 2 files, 3 symbols", "understand: 4 answers"),
        *("files kept: calc.py", "locations", "calc.py::add", "reproduction, 3 votes, valid", "def test_issue"),
        *("repair: 2 answers", "rollout 1: ", " reproduced", "before 1 failed, after 1 passed"),
        *("+    return a + b", "rollout 2: same as ", "round 1: 2 rollouts, 1 alive", "end: verified"),
    )
    place = 0
    for words in expected:
        found = shown.out.find(words, place)
        assert found >= 0, f"{words!r} does not follow in\n{shown.out}"
        place = found
    assert "new tokens" in shown.out


def test_a_trace_that_a_crash_cut_short_is_shown_as_far_as_it_goes(trace: Path, tmp_path: Path) -> None:
    whole = trace.read_bytes()
    (tmp_path / "cut.jsonl").write_bytes(whole[: len(whole) // 2])
    shown = patchwright("trace", "show", tmp_path / "cut.jsonl", home=tmp_path)
    assert shown.code == 0, shown.err
    assert "understand" in shown.out
    assert "end: " not in shown.out


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        (None, "Give the path of a .jsonl trace."),
        (b"", "`patchwright fix` prints the path"),
        (b"hello\n", "`patchwright fix` prints the path"),
        (b"\x00\xff" * 500, "`patchwright fix` prints the path"),
        (b'{"schema": 99, "kind": "start"}\n', "`patchwright fix` prints the path"),
    ],
)
def test_what_is_no_trace_is_refused_with_a_cure(content: bytes | None, cure: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    if content is not None:
        path.write_bytes(content)
    shown = patchwright("trace", "show", path, home=tmp_path)
    assert (shown.code, shown.out) == (2, "")
    assert cure in shown.err
    assert "Traceback" not in shown.err


def test_a_step_of_ours_with_missing_fields_does_not_crash(trace: Path, tmp_path: Path) -> None:
    odd = b'{"schema": 1, "kind": "index", "at": 1.0}\n{"schema": 1, "kind": "from the future", "at": 2.0}\n'
    (tmp_path / "odd.jsonl").write_bytes(odd + trace.read_bytes())
    shown = patchwright("trace", "show", tmp_path / "odd.jsonl", home=tmp_path)
    assert shown.code == 0, shown.err
    assert "end: verified" in shown.out
    assert "a damaged step: index" in shown.out


def test_a_reader_that_leaves_early_is_no_error(trace: Path, tmp_path: Path) -> None:
    ended = end_unread(start("trace", "show", trace, home=tmp_path))
    assert ended.code == 0, ended.err
    assert "Broken" not in ended.err
