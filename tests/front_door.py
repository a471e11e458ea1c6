"""`patchwright` as a user runs it: a process of its own, a home of its own, a git repository with one fault."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_project import write_project

PROGRAM = (sys.executable, "-P", "-m", "patchwright_engine")
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """What `--json` printed: one object and nothing else."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


def environment(home: Path, **more: str) -> dict[str, str]:
    """The variables of a user with a home of their own; nothing of the test runner's environment is active."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(home), "PATCHWRIGHT_HOME": str(home / "patchwright"), **more}


def patchwright(*arguments: str | Path, home: Path, stdin: str = "", **more: str) -> Ended:
    """Run one command to its end; `more` are environment variables."""
    done = subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        input=stdin.encode("utf-8", "surrogateescape"),
        capture_output=True,
        env=environment(home, **more),
        cwd=home,
        timeout=SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


def start(*arguments: str | Path, home: Path, **more: str) -> subprocess.Popen[bytes]:
    """Start one command whose progress is watched with `read_until`."""
    return subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        bufsize=0,  # What `read_until` leaves must still be there for `end_of`.
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home, **more),
        cwd=home,
    )


def read_until(process: subprocess.Popen[bytes], words: str) -> None:
    """Read progress up to the line that holds `words`."""
    assert process.stderr is not None
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    found = any(words.encode() in line for line in process.stderr)
    watchdog.cancel()
    assert found, f"never reached {words!r}"


def end_of(process: subprocess.Popen[bytes]) -> Ended:
    """Wait for the end; holds what was not read before."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Ended(process.returncode, out.decode(), err.decode())


def end_unread(process: subprocess.Popen[bytes]) -> Ended:
    """As a reader that leaves before the first byte: standard output is closed at once."""
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    return Ended(process.wait(SECONDS), "", err)


def make_repository(root: Path) -> Path:
    """The demo project as a git repository with one commit. Returns its resolved root."""
    root.mkdir(parents=True)
    write_project(root)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "--quiet", "-m", "first")
    return root.resolve()


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True, timeout=30).stdout


def fingerprint(root: Path) -> Mapping[str, tuple[int, int, str]]:
    """Every entry below `root`, `.git` included: mode, time of change, and content."""
    found: dict[str, tuple[int, int, str]] = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[path.relative_to(root).as_posix()] = (info.st_mode, info.st_mtime_ns if content else 0, content)
    return found
