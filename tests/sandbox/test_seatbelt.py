"""The macOS level as far as it can be checked without a Mac: the text of its profile, and who outlives a run."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.sandbox.seatbelt import (
    RUN_VARIABLE,
    Seatbelt,
    end_survivors,
    find_seatbelt,
    profile,
    quote,
)

COPY = Path("/private/var/folders/ab/copy")
SCRATCH = Path("/private/var/folders/ab/scratch")


def rules(text: str) -> list[str]:
    """The top-level forms of a profile; fails when a parenthesis or a string is not closed."""
    found: list[str] = []
    depth = start = position = 0
    text = re.sub(r"^;.*$", "", text, flags=re.MULTILINE)
    while position < len(text):
        character = text[position]
        if character == '"':
            position += 1
            while text[position] != '"':
                position += 2 if text[position] == "\\" else 1
        elif character == "(":
            start = position if depth == 0 else start
            depth += 1
        elif character == ")":
            depth -= 1
            assert depth >= 0
            if depth == 0:
                found.append(text[start : position + 1])
        position += 1
    assert depth == 0
    return found


def test_everything_is_denied_before_anything_is_allowed() -> None:
    assert rules(profile((COPY, SCRATCH), ()))[:2] == ["(version 1)", "(deny default)"]


def test_only_the_copy_and_the_temporary_folder_can_be_written() -> None:
    writing = [rule for rule in rules(profile((COPY, SCRATCH), (Path("/Users/ann/venv"),))) if "file-write" in rule]
    named = {path for rule in writing if rule.startswith("(allow") for path in re.findall(r'"([^"]*)"', rule)}
    assert named == {str(COPY), str(SCRATCH), "/dev/null", "/dev/zero"}


def test_no_rule_allows_files_or_network_without_saying_which() -> None:
    for rule in rules(profile((COPY, SCRATCH), ())):
        if re.match(r"\(allow (file|network|process-exec|mach|sysctl|ipc-posix-shm)", rule):
            assert '"' in rule, rule


def test_named_folders_can_be_read_and_their_parents_only_be_looked_at() -> None:
    text = rules(profile((COPY,), (Path("/Users/ann/venv"),)))
    (reading,) = [rule for rule in text if '(subpath "/Users/ann/venv")' in rule]
    assert reading.startswith("(allow file-read* ")
    (looking,) = [rule for rule in text if '(literal "/Users/ann")' in rule]
    assert looking.startswith("(allow file-read-metadata")
    assert not any('(subpath "/Users/ann")' in rule for rule in text)


def test_later_rules_win_so_denials_follow_what_they_narrow_and_the_copy_comes_last() -> None:
    text = rules(profile((Path("/usr/local/var/copy"),), (Path("/usr/local/var/venv"),)))
    order = [
        next(i for i, rule in enumerate(text) if needle in rule)
        for needle in (
            '(subpath "/usr/local")',
            '(subpath "/usr/local/var")',
            '(subpath "/usr/local/var/venv")',
            '(subpath "/usr/local/var/copy")',
        )
    ]
    assert order == sorted(order)
    assert text[order[1]].startswith("(deny")
    links = text.index("(deny file-link)")
    assert links > order[-1], "a hard link in the copy would make a file outside writable"


def test_the_network_is_closed_but_for_loopback_and_own_sockets() -> None:
    text = rules(profile((COPY,), ()))
    after = text[text.index("(deny network*)") + 1 :]
    network = [rule for rule in text if "(allow network" in rule]
    assert all(rule in after for rule in network)
    for rule in network:
        assert '"localhost:*"' in rule or f'unix-socket (subpath "{COPY}")' in rule


@pytest.mark.parametrize(
    ("path", "written"),
    [
        ("/plain", '"/plain"'),
        ("/with space", '"/with space"'),
        ('/a"b', '"/a\\"b"'),
        ("/back\\slash", '"/back\\\\slash"'),
        ('/x") (allow default) ("', '"/x\\") (allow default) (\\""'),
        ("/ünï", '"/ünï"'),
        ("/{brace}", '"/{brace}"'),
    ],
)
def test_paths_are_written_so_that_they_stay_one_string(path: str, written: str) -> None:
    assert quote(path) == written
    text = rules(profile((Path(path),), ()))
    assert "(allow default)" not in text
    assert len(text) == len(rules(profile((COPY,), ())))


@pytest.mark.parametrize("path", ["/a\nb", "/a\x00b", "/a\x7f"])
def test_a_path_that_no_rule_can_name_is_refused_with_a_cure(path: str) -> None:
    with pytest.raises(SandboxUnavailable, match="control character") as refused:
        profile((COPY,), (Path(path),))
    assert "Rename" in refused.value.cure


def test_it_says_that_it_is_untested() -> None:
    assert "UNTESTED" in Seatbelt().promises
    assert "does not stop" in Seatbelt().promises


@pytest.mark.skipif(sys.platform == "darwin", reason="it exists here")
def test_elsewhere_it_is_not_offered() -> None:
    assert find_seatbelt() is None


@pytest.mark.parametrize("known_by", ["environment", "folder"])
def test_a_process_that_left_the_run_is_found_and_killed(tmp_path: Path, known_by: str) -> None:
    sleep = shutil.which("sleep")
    assert sleep
    inside = known_by == "folder"
    environment = {} if inside else {RUN_VARIABLE: "token"}
    with (
        subprocess.Popen(
            [sleep, "60"], env=environment, cwd=tmp_path if inside else "/", start_new_session=True
        ) as lost,
        subprocess.Popen([sleep, "60"], env={RUN_VARIABLE: "other"}, cwd="/") as bystander,
    ):
        try:
            while psutil.Process(lost.pid).name() != "sleep":  # until then its environment is still ours
                time.sleep(0.01)
            assert end_survivors("token", (tmp_path,)) == 1
            assert lost.wait(timeout=5) == -9
            assert bystander.poll() is None
        finally:
            lost.kill()
            bystander.kill()


@pytest.mark.skipif(shutil.which("sh") is None or os.name != "posix", reason="no shell")
def test_the_first_steps_limit_mark_and_become_the_command(tmp_path: Path) -> None:
    from patchwright_engine.sandbox.seatbelt import _FIRST_STEPS

    mark = tmp_path / "began"
    script = ["sh", "-c", _FIRST_STEPS, "sh", str(tmp_path), "2048", "7", "9999", str(mark)]
    done = subprocess.run(
        [*script, "sh", "-c", "pwd; ulimit -c; ulimit -f; ulimit -t"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(tmp_path), "0", "2048", "7"]
    assert mark.exists()
    missing = subprocess.run([*script, "no-such-program"], capture_output=True, text=True, check=False)
    assert missing.returncode == 127
