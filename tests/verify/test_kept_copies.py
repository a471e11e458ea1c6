"""Copies kept between jobs: quick when nothing changed, right whatever changed, broke or was killed meanwhile."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import Cancelled
from patchwright_engine.sandbox.bubblewrap import find_bwrap
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.kept import Bounds, in_memory
from patchwright_engine.verify.orphans import PREFIX
from patchwright_engine.verify.workspace import WorkspaceCopy, prepare_copy
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import git, make_awkward, picture


@pytest.fixture(autouse=True)
def disk(tmp_path: Path) -> None:
    if in_memory(tmp_path) or shutil.disk_usage(tmp_path).free < Bounds().free_bytes + (256 << 20):
        pytest.skip("in memory and on a nearly full disk nothing is kept; run pytest with --basetemp on another")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_awkward(tmp_path / "project")


@pytest.fixture
def copies(home: Path) -> Path:
    return home / "cache" / "copies"


def one_job(root: Path) -> Path:
    """A copy opened, checked against the user's tree, and closed; where it was."""
    with WorkspaceCopy(take_snapshot(root)) as copy:
        assert picture(copy.path) == picture(root)
        return copy.path


def identities(top: Path) -> dict[str, tuple[int, int]]:
    """What stays the same for a file nobody wrote to."""
    return {
        path.relative_to(top).as_posix(): (path.lstat().st_ino, path.lstat().st_ctime_ns)
        for path in top.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def test_the_next_job_gets_the_same_copy_and_only_what_changed_is_written(root: Path) -> None:
    before = identities(one_job(root))
    (root / "plain.py").write_text("x = 2\n")
    (root / "run.sh").chmod(0o700)
    (root / "new.py").write_text("new\n")
    (root / "no-end").unlink()
    with WorkspaceCopy(take_snapshot(root)) as copy:
        assert picture(copy.path) == picture(root)
        after = identities(copy.path)
    written = {path for path in after if after[path] != before.get(path)}
    assert written == {"plain.py", "run.sh", "new.py"}


def test_what_a_job_left_behind_is_gone_before_the_copy_is_kept(root: Path) -> None:
    with WorkspaceCopy(take_snapshot(root)) as copy:
        (copy.path / "debris").write_bytes(b"x" * 100_000)
        copy.write(RepoPath("plain.py"), "spoiled\n")
    assert picture(copy.path) == picture(root)


def test_unsaved_text_of_one_job_is_not_in_the_next(root: Path) -> None:
    with WorkspaceCopy(take_snapshot(root, {RepoPath("plain.py"): "x = 2\n", RepoPath("unsaved.py"): "u\n"})) as copy:
        assert (copy.path / "unsaved.py").exists()
    one_job(root)


def test_files_and_folders_that_changed_places_between_jobs(root: Path) -> None:
    one_job(root)
    (root / "plain.py").unlink()
    (root / "plain.py").mkdir()
    (root / "plain.py" / "inner.py").write_text("x\n")
    shutil.rmtree(root / "tief")
    (root / "tief").write_text("a file now\n")
    (root / "linked").unlink()
    (root / "linked").mkdir()
    (root / "linked" / "real.py").write_text("x\n")
    (root / "link.py").unlink()
    (root / "link.py").symlink_to("run.sh")
    (root / "pkg" / "up.py").unlink()
    (root / "same-b").unlink()
    (root / "same-b").symlink_to("pkg", target_is_directory=True)
    one_job(root)
    git(root, "checkout", "--quiet", "--force", ".")
    git(root, "clean", "-qfd")
    one_job(root)


def test_a_file_the_user_saved_after_the_snapshot_is_as_the_snapshot_saw_it_when_an_earlier_job_did_too(
    root: Path,
) -> None:
    one_job(root)
    snapshot = take_snapshot(root)
    before = picture(root)
    (root / "plain.py").write_text("newer\n")
    with WorkspaceCopy(snapshot) as copy:
        assert picture(copy.path) == before
        assert copy.changed == ()


def test_generated_files_follow_the_disk_though_no_snapshot_lists_them(root: Path) -> None:
    version = root / "pkg" / "_version.py"
    for text in ("v = 1\n", "v = 2\n"):
        version.write_text(text)
        assert (one_job(root) / "pkg" / "_version.py").read_text() == text
    version.unlink()
    assert not (one_job(root) / "pkg" / "_version.py").exists()


def test_ignored_files_reach_neither_the_copy_nor_anything_else_that_is_kept(root: Path, home: Path) -> None:
    (root / "secret.env").write_text("KEY=hunter2\n")
    (root / "ignored").mkdir()
    (root / "ignored" / "dump.sql").write_text("hunter2\n")
    with WorkspaceCopy(take_snapshot(root)) as copy:
        assert not (copy.path / "secret.env").exists()
        assert not (copy.path / "ignored").exists()
    kept = [path for path in home.rglob("*") if path.is_file()]
    assert kept
    assert not [path for path in kept if b"hunter2" in path.read_bytes()]


def test_kept_copies_are_the_users_alone(root: Path, copies: Path) -> None:
    copies.mkdir(parents=True, mode=0o755)
    one_job(root)
    assert copies.stat().st_mode & 0o777 == 0o700


# --- a kept copy is never believed ---


def same_size(path: Path) -> None:
    """Change content, not size, and put the time of modification back."""
    info = path.stat()
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def in_manifest(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    """Change the manifest's header, leaving the rest as it is."""

    def apply(slot: Path) -> None:
        header, _, body = (slot / "manifest").read_bytes().partition(b"\n")
        value = json.loads(header)
        change(value)
        (slot / "manifest").write_bytes(json.dumps(value).encode() + b"\n" + body)

    return apply


def wrong_hash_in_body(slot: Path) -> None:
    content = (slot / "manifest").read_bytes()
    end = content.index(b'"', content.index(b'"plain.py":"file ') + len('"plain.py":"'))
    (slot / "manifest").write_bytes(content[: end - 64] + b"0" * 64 + content[end:])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a file changed in place": lambda slot: same_size(slot / "work/project/plain.py"),
    "a file gone": lambda slot: (slot / "work/project/plain.py").unlink(),
    "a file too many": lambda slot: (slot / "work/project/stray.py").write_text("x"),
    "a mode changed": lambda slot: (slot / "work/project/plain.py").chmod(0o600),
    "a folder's mode changed": lambda slot: (slot / "work/project/pkg").chmod(0o700),
    "a link elsewhere": lambda slot: (
        (slot / "work/project/link.py").unlink(),
        (slot / "work/project/link.py").symlink_to("/etc/passwd"),
    ),
    "no files at all": lambda slot: shutil.rmtree(slot / "work"),
    "a file in place of all": lambda slot: (shutil.rmtree(slot / "work"), (slot / "work").write_text("x")),
    "contents changed": lambda slot: same_size(slot / "contents"),
    "contents cut short": lambda slot: os.truncate(slot / "contents", 10),
    "contents gone": lambda slot: (slot / "contents").unlink(),
    "contents a folder": lambda slot: ((slot / "contents").unlink(), (slot / "contents").mkdir()),
    "manifest gone": lambda slot: (slot / "manifest").unlink(),
    "manifest empty": lambda slot: (slot / "manifest").write_bytes(b""),
    "manifest cut short": lambda slot: os.truncate(slot / "manifest", (slot / "manifest").stat().st_size // 2),
    "manifest no JSON": lambda slot: (slot / "manifest").write_bytes(b"\xff\xfe{[\n\0"),
    "manifest a list": lambda slot: (slot / "manifest").write_bytes(b"[]\n[]"),
    "manifest with a wrong hash": wrong_hash_in_body,
    "manifest of another schema": in_manifest(lambda header: header.update(schema=0)),
    "manifest of another boot": in_manifest(lambda header: header.update(boot="another")),
    "manifest of another workspace": in_manifest(lambda header: header.update(root="/elsewhere")),
    "manifest without a key": in_manifest(lambda header: header.pop("bytes")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_kept_copy_that_was_tampered_with_gives_a_right_copy(root: Path, damage: str) -> None:
    slot = one_job(root).parents[1]
    DAMAGES[damage](slot)
    with WorkspaceCopy(take_snapshot(root)) as copy:
        assert picture(copy.path) == picture(root)
        for name in ("plain.py", "run.sh", "large.bin"):
            (copy.path / name).unlink()
        copy.reset()
        assert picture(copy.path) == picture(root)
    one_job(root)


@pytest.mark.parametrize("damage", ["manifest of another schema", "manifest of another boot", "contents changed"])
def test_then_nothing_of_it_is_used(root: Path, damage: str) -> None:
    path = one_job(root)
    before = identities(path)
    DAMAGES[damage](path.parents[1])
    one_job(root)
    after = identities(path)
    assert all(after[name] != before[name] for name in after)


# --- several at once, and killed ---

MANY_JOBS = """
import random, sys
from pathlib import Path
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import picture
root, dice = Path(sys.argv[1]), random.Random(sys.argv[2])
expected = picture(root)
for _ in range(8):
    unsaved = {RepoPath("plain.py"): f"x = {dice.random()}"}
    with WorkspaceCopy(take_snapshot(root, unsaved)) as copy:
        assert (copy.path / "plain.py").read_text() == unsaved["plain.py"]
        first = picture(copy.path)
        assert {**first, "plain.py": 0} == {**expected, "plain.py": 0}
        copy.write(RepoPath("run.sh"), sys.argv[2])
        (copy.path / "pkg/__init__.py").unlink()
        assert (copy.path / "run.sh").read_text() == sys.argv[2]
        copy.reset()
        assert picture(copy.path) == first
print("done")
"""


def python(code: str, *arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **variables},
    )


def test_processes_at_once_never_share_a_copy(root: Path, copies: Path) -> None:
    running = [python(MANY_JOBS, root, str(number)) for number in range(3)]
    for process in running:
        out, err = process.communicate(timeout=120)
        assert out == "done\n", err
    one_job(root)
    kept = [path.parent.name for path in copies.glob("*/*/manifest")]
    assert kept
    assert set(kept) <= {"0", "1", "2", "3"}


def test_when_all_kept_copies_are_in_use_another_is_made_for_one_job(root: Path, copies: Path) -> None:
    bounds = Bounds(a_workspace=1)
    with WorkspaceCopy(take_snapshot(root), bounds=bounds) as first:
        with WorkspaceCopy(take_snapshot(root), bounds=bounds) as second:
            assert first.path.is_relative_to(copies)
            assert not second.path.is_relative_to(copies)
            assert picture(second.path) == picture(root)
        assert not second.path.exists()


SPOIL_FOREVER = """
import sys
from pathlib import Path
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot
root = Path(sys.argv[1])
print("began", flush=True)
while True:
    with WorkspaceCopy(take_snapshot(root, {RepoPath("plain.py"): "unsaved"})) as copy:
        for path in copy.path.rglob("*.py"):
            path.write_text("spoiled")
        copy.reset()
        copy.write(RepoPath("windows.py"), "spoiled too")
"""


def test_a_process_killed_at_any_moment_leaves_no_wrong_copy_and_no_debris(root: Path, copies: Path) -> None:
    for number in range(200):
        (root / "pkg" / f"m{number}.py").write_text(f"x = {number}\n" * 50)
    dice = random.Random(4)
    for _ in range(6):
        process = python(SPOIL_FOREVER, root)
        assert process.stdout is not None
        assert process.stdout.readline() == "began\n"
        time.sleep(dice.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        one_job(root)
    assert [path.name for home in copies.iterdir() for path in home.iterdir()] == ["0"]
    (slot,) = copies.glob("*/0")
    assert {path.name for path in slot.iterdir()} == {"owner", "clock", "work", "contents", "manifest"}


def test_a_cancelled_job_leaves_a_right_copy_or_none(root: Path) -> None:
    one_job(root)
    snapshot = take_snapshot(root, {RepoPath("plain.py"): "x = 3\n"})
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(Cancelled):
        WorkspaceCopy(snapshot, cancel=cancel)
    cancel = CancelToken()
    with WorkspaceCopy(snapshot, cancel=cancel) as copy:
        before = picture(copy.path)
        (copy.path / "plain.py").write_text("spoiled")
        cancel.cancel()
        copy.reset()
        assert picture(copy.path) == before
    one_job(root)


# --- bounds ---


def manifests(copies: Path) -> set[str]:
    """Names of the workspaces of which a copy is kept."""
    return {Path(json.loads(path.read_bytes().split(b"\n")[0])["root"]).name for path in copies.glob("*/*/manifest")}


def make_project(root: Path, size: int) -> Path:
    root.mkdir()
    (root / "data.py").write_bytes(b"#" * size)
    return root.resolve()


def test_the_longest_unused_go_first_when_kept_copies_outgrow_their_bound(tmp_path: Path, copies: Path) -> None:
    bounds = Bounds(bytes=500_000)
    for number, name in enumerate(("a", "b", "c")):
        with WorkspaceCopy(take_snapshot(make_project(tmp_path / name, 100_000)), bounds=bounds):
            pass
        for path in copies.glob("*/*/manifest"):
            if json.loads(path.read_bytes().split(b"\n")[0])["root"].endswith(f"/{name}"):
                os.utime(path, (time.time() - 100 + number, time.time() - 100 + number))
    with WorkspaceCopy(take_snapshot(tmp_path / "b"), bounds=bounds):
        pass
    assert manifests(copies) == {"b", "c"}
    total = sum(path.stat().st_size for path in copies.glob("*/*/contents")) + sum(
        path.stat().st_size for path in copies.glob("*/*/work/*/data.py")
    )
    assert 0 < total <= 500_000


def test_a_copy_too_large_to_keep_and_a_bound_of_nothing_leave_nothing(tmp_path: Path, copies: Path) -> None:
    root = make_project(tmp_path / "a", 100_000)
    for bounds in (Bounds(bytes=150_000), Bounds(bytes=0), Bounds(free_bytes=1 << 60)):
        with WorkspaceCopy(take_snapshot(root), bounds=bounds) as copy:
            assert picture(copy.path) == picture(root)
        assert not copy.path.exists()
        assert not [path for path in copies.rglob("*") if path.stat().st_size >= 100_000]


def test_copies_too_old_or_of_workspaces_that_are_gone_are_deleted(tmp_path: Path, copies: Path) -> None:
    for name in ("old", "gone", "used"):
        one_job(make_project(tmp_path / name, 1000))
    shutil.rmtree(tmp_path / "gone")
    for path in copies.glob("*/*/manifest"):
        if json.loads(path.read_bytes().split(b"\n")[0])["root"].endswith("/old"):
            os.utime(path, (time.time() - 15 * 86_400, time.time() - 15 * 86_400))
    one_job(tmp_path / "used")
    assert manifests(copies) == {"used"}
    assert len(list(copies.iterdir())) == 1


def test_contents_that_pile_up_over_many_edits_are_dropped(tmp_path: Path, copies: Path) -> None:
    root = make_project(tmp_path / "a", 1000)
    largest = 0
    for number in range(8):
        (root / "data.py").write_bytes(bytes([number]) * (5 << 20))
        one_job(root)
        largest = max([largest, *(path.stat().st_size for path in copies.glob("*/*/contents"))])
    assert largest <= 3 * (5 << 20) + (16 << 20)


# --- where it cannot be kept ---


def test_where_nothing_can_be_kept_there_is_still_a_copy(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    for home in ("/proc/patchwright", tmp_path / "file" / "home"):
        monkeypatch.setenv("PATCHWRIGHT_HOME", str(home))
        path = one_job(root)
        assert not path.exists()


def test_a_folder_that_leads_elsewhere_is_not_used(root: Path, copies: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    copies.parent.mkdir(parents=True)
    copies.symlink_to(tmp_path / "elsewhere")
    path = one_job(root)
    assert not path.exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


ON_A_SMALL_DISK = """
import os, sys
from pathlib import Path
from patchwright_engine.errors import EnvironmentProblem
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot
from trees import picture
root, small = Path(sys.argv[1]), Path(sys.argv[2])
try:
    with WorkspaceCopy(take_snapshot(root)) as copy:
        assert picture(copy.path) == picture(root)
        print("inside" if copy.path.is_relative_to(small) else "outside")
except EnvironmentProblem as error:
    print(error.message, "|", error.cure)
print(sorted(path.name for path in small.rglob("*") if path.is_file() and path.stat().st_size > 1000))
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> tuple[str, ...]:
    """A command in front of another that shows it a disk of 1 MB at `tmp_path / 'small'`."""
    bwrap = find_bwrap()
    if bwrap is None:
        pytest.skip("bubblewrap is not installed, and only it can make a small disk here")
    (tmp_path / "small").mkdir()
    mount = (str(bwrap), "--dev-bind", "/", "/", "--size", str(1 << 20), "--tmpfs", str(tmp_path / "small"))
    if subprocess.run([*mount, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this bubblewrap cannot make a small disk here")
    return mount


@pytest.mark.parametrize("temporary", ["roomy", "small"])
def test_a_full_disk_is_left_for_another_or_named_with_the_cure(
    root: Path, tmp_path: Path, small_disk: tuple[str, ...], temporary: str
) -> None:
    small = tmp_path / "small"
    (tmp_path / "roomy").mkdir()
    done = subprocess.run(
        [*small_disk, sys.executable, "-c", ON_A_SMALL_DISK, str(root), str(small)],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "PATCHWRIGHT_HOME": str(small / "home"),
            "TMPDIR": str(tmp_path / temporary),
        },
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said, left = done.stdout.splitlines()
    assert left == "[]"
    if temporary == "roomy":
        assert said == "outside"
    else:
        assert f"in {small}: No space left on device (" in said
        assert "MB needed) | Free disk space there, or name a folder on a disk with more room: `TMPDIR=" in said
    assert list((tmp_path / "roomy").glob(f"{PREFIX}*")) == []


def test_a_prepared_copy_is_the_one_the_job_finds(root: Path, copies: Path) -> None:
    snapshot = take_snapshot(root)
    prepare_copy(snapshot, CancelToken())
    (slot,) = (path.parent for path in copies.glob("*/*/manifest"))
    before = identities(slot / "work" / "project")
    with WorkspaceCopy(snapshot) as copy:
        assert copy.path == slot / "work" / "project"
        assert identities(copy.path) == before
        assert picture(copy.path) == picture(root)


def test_nothing_is_prepared_where_nothing_is_kept(root: Path, copies: Path) -> None:
    prepare_copy(take_snapshot(root), CancelToken(), Bounds(bytes=0))
    assert not copies.exists()
