"""A temporary folder without room, at every moment of a job: an error that says which, how much and what to do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_project import ISSUE, RULES
from front_door import fingerprint, make_repository
from patchwright_engine.sandbox.bubblewrap import find_bwrap
from scripted_model import ScriptedServer, serve_scripted

DATA_BYTES = 600_000
HALF_WAY = """
import os, sys
from pathlib import Path
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import EnvironmentProblem
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.types import FileEdit, Patch, RepoPath
from patchwright_engine.verify.choose import choose_environment
from patchwright_engine.verify.context import open_verification, run_probes, run_regression, run_user_command
from patchwright_engine.verify.probes import Probe
from patchwright_engine.workspace.snapshot import take_snapshot
root, small = Path(sys.argv[1]), Path(sys.argv[2])
cancel, snapshot = CancelToken(), take_snapshot(root)
before = snapshot.read_text("calc.py")
patch = Patch((FileEdit(RepoPath("calc.py"), before, before + "# more" * 100_000),))
steps = {
    "patch": lambda context: run_regression(context, patch, cancel),
    "tests": lambda context: run_regression(context, None, cancel),
    "probes": lambda context: run_probes(context, None, [Probe("", "1")], cancel),
}
with open_verification(
    snapshot,
    sandbox=select_sandbox(),
    environment=choose_environment(root, python=Path(sys.executable)),
    issue_text="",
    selection=(RepoPath("test_calc.py"),),
    cancel=cancel,
) as context:
    print("sound", context.baseline.report.summary)
    for name, step in steps.items():
        with (small / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1024))
            except OSError:
                pass
        try:
            step(context)
            print(name, "went on")
        except EnvironmentProblem as error:
            print(name, "|", error.message, "|", error.cure)
        (small / "filler").unlink()
    print("sound again", run_regression(context, None, cancel).summary)
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = make_repository(tmp_path / "project")
    (root / "data.txt").write_text("x" * DATA_BYTES)
    return root


@pytest.fixture
def model() -> Iterator[ScriptedServer]:
    with serve_scripted(*RULES) as server:
        yield server


def on_a_small_disk(small: Path, size: int, *argv: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command for which `small` is a disk of `size` bytes, and so is every usual place for temporary files."""
    bwrap = find_bwrap()
    if bwrap is None:
        pytest.skip("bubblewrap is not installed, and only it can make a small disk here")
    mount = [str(bwrap), "--dev-bind", "/", "/", "--size", str(size), "--tmpfs", str(small)]
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this bubblewrap cannot make a small disk here")
    # What is left is looked at inside: the disk goes with the command.
    shown = ["sh", "-c", '"$@"; status=$?; find "$0" -mindepth 1 | sed "s/^/LEFT /"; exit $status', str(small)]
    return subprocess.run(
        [*mount, *shown, *map(str, argv)],
        capture_output=True,
        text=True,
        env={
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(small.parent / "home"),
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "TMPDIR": str(small),
            **environment,
        },
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("size", [4096, 65536, DATA_BYTES * 3 // 2])
def test_a_fix_without_room_says_where_how_much_and_what_to_do(
    repository: Path, small: Path, model: ScriptedServer, size: int
) -> None:
    before = fingerprint(repository)
    arguments = ("fix", ISSUE, "--repo", repository, "--model", model.url, "--budget", "quick")
    done = on_a_small_disk(small, size, sys.executable, "-P", "-m", "patchwright_engine", *arguments)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    told = done.stderr[done.stderr.index("patchwright: ") :]
    assert f"in {small}: No space left on device" in told
    assert "MB needed" in told or "cannot try whether a sandbox works" in told
    assert "`TMPDIR=/path/to/folder patchwright ...`" in told
    assert done.stdout == ""  # no fix, and nothing left on the small disk
    assert fingerprint(repository) == before


def test_a_disk_that_is_full_half_way_is_said_and_what_is_freed_is_used_again(repository: Path, small: Path) -> None:
    done = on_a_small_disk(small, 16 << 20, sys.executable, "-c", HALF_WAY, repository, small)
    assert done.returncode == 0, done.stderr
    sound, *broken, again = [line for line in done.stdout.splitlines() if not line.startswith("LEFT")]
    assert (sound, again) == ("sound 1 passed", "sound again 1 passed")
    assert [line.partition(" | ")[0] for line in broken] == ["patch", "tests", "probes"]
    for line in broken:
        assert f"in {small}: No space left on device" in line, line
        assert "`TMPDIR=/path/to/folder patchwright ...`" in line


def test_where_every_temporary_folder_is_full_the_current_one_is_not_taken(
    repository: Path, small: Path, model: ScriptedServer
) -> None:
    """Python would put its temporary files into the current folder: the user's project."""
    before = fingerprint(repository)
    arguments = ("fix", ISSUE, "--repo", repository, "--model", model.url, "--budget", "quick")
    read_only = [part for place in ("/tmp", "/var/tmp", "/usr/tmp") for part in ("--ro-bind-try", place, place)]
    if any(repository.is_relative_to(place) for place in ("/tmp", "/var/tmp")):
        read_only += ["--bind", str(repository.parent), str(repository.parent)]
    bwrap = find_bwrap()
    if bwrap is None:
        pytest.skip("bubblewrap is not installed, and only it can make read-only folders here")
    inner = [str(bwrap), "--dev-bind", "/", "/", *read_only, "--chdir", str(repository)]
    argv = (*inner, sys.executable, "-P", "-m", "patchwright_engine", *arguments)
    done = on_a_small_disk(small, 65536, *argv, TMPDIR="/proc")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "no folder for temporary files takes one (/proc, /tmp, /var/tmp)" in done.stderr
    assert "Traceback" not in done.stderr
    assert fingerprint(repository) == before
