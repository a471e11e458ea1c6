"""How soon is a throw-away copy of a workspace ready, against a plain copy and `git worktree add`? And what does it
bring to run slow tests side by side?

    python benchmarks/verification.py [--quick] [--json OUT] [--repo DIR] [--scratch DIR]

Cold: the first job of a workspace. Warm: a later one. Reset: after a run that changed three files, deleted one and
left a hundred behind. Ready: what a job waits for, without its snapshot, which it takes for the index anyway.
Without --repo the tree is made from the running Python's own library, of about Django's size (6,600 files, 45 MB);
with it, it is a clone. Everything happens below --scratch (default: the temporary folder), which should be on a disk.
Best of five runs (--quick: two), the disk settled before each. Run it on a quiet machine; the CPU time, of git's
processes too, tells the work where it was not quiet. Nothing is deleted before the end, since ext4 makes files several
times slower for minutes after thousands were deleted: deleting between the runs measures that.
Tests: six files that wait 0.4 s and compute for 0.4 s each, in one process and in as many as `fix` would take here, at
least two, each with its copy and sandbox; copies are there already. Their CPU time is ours alone, without what runs
inside. Ratio `shards`: the wall time in several processes over that in one; less is better.
"""

import argparse
import itertools
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import SandboxUnavailable
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.types import RepoPath, Snapshot
from patchwright_engine.verify.context import open_verification, run_regression
from patchwright_engine.verify.environment import discover_environment
from patchwright_engine.verify.kept import in_memory
from patchwright_engine.verify.shards import MAX_WORKERS, Lane, expected_seconds, room_here, split
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot

FILES = 6_600
BYTES = 45_000_000
LARGEST = 64_000
TARGET_SECONDS = 0.3
TEST_FILES = 6
SLOW_TEST = """\
import time

def test_waits():
    time.sleep(0.4)

def test_computes():
    end = time.process_time() + 0.4
    while time.process_time() < end:
        pass
"""
Seconds = tuple[float, float]
"""Wall time and CPU time of one call."""


def main() -> int:
    """Measure, print a table, and write OUT when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two runs instead of five")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--repo", type=Path, metavar="DIR")
    parser.add_argument("--scratch", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    runs = 2 if arguments.quick else 5
    if arguments.scratch is not None:
        arguments.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.scratch, ignore_cleanup_errors=True) as name:
        scratch = Path(name).resolve()
        root = scratch / "tree"
        clone(arguments.repo, root) if arguments.repo else make_tree(root)
        snapshot = take_snapshot(root)
        measured = {**measure_others(root, scratch, runs), **measure_ours(root, scratch, runs)}
        one, many = measure_tests(scratch, 1 if arguments.quick else 3)
        measured |= one | many
        size = sum((root / path).stat().st_size for path in snapshot.files)
        where = "memory" if in_memory(scratch) else "disk"
    seconds = {what: wall for what, (wall, _) in measured.items()}
    rows = [{"what": what, "seconds": wall, "cpu_seconds": cpu} for what, (wall, cpu) in measured.items()]
    table = Table(title=f"{len(snapshot.files)} files, {size / 1e6:.1f} MB, on {where}; best of {runs}")
    table.add_column("what")
    table.add_column("ms", justify="right")
    table.add_column("CPU ms", justify="right")
    for what, (wall, cpu) in measured.items():
        table.add_row(what, f"{wall * 1000:.0f}", f"{cpu * 1000:.0f}")
    Console().print(table)
    ratios = {
        f"copy_vs_{other}_{ours}": seconds[f"copy, {ours}"] / seconds[what]
        for other, what in (("plain", "shutil.copytree"), ("git_worktree", "git worktree add"))
        for ours in ("cold", "warm")
    }
    if many:
        ratios["shards"] = max(many.values())[0] / max(one.values())[0]
    sys.stdout.write("".join(f"{name}: {value:.2f}\n" for name, value in ratios.items()))
    met = all(seconds[what] < TARGET_SECONDS for what in ("copy, warm", "copy, warm, one edit"))
    sys.stdout.write(f"a warm copy is ready in under {TARGET_SECONDS * 1000:.0f} ms: {'yes' if met else 'no'}\n")
    if arguments.json:
        machine = {
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "files": len(snapshot.files),
            "bytes": size,
            "on": where,
            "load": psutil.getloadavg()[0],
        }
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows, "ratios": ratios}, indent=1))
    return 0


def measure_others(root: Path, scratch: Path, runs: int) -> dict[str, Seconds]:
    """The cost of what one would do without us."""
    number = itertools.count()

    def copy_plainly() -> None:
        target = scratch / f"plain-{next(number)}"
        shutil.copytree(root, target, symlinks=True, ignore=shutil.ignore_patterns(".git"))

    def add_worktree() -> None:
        git(root, "worktree", "add", "--quiet", "--detach", str(scratch / f"worktree-{next(number)}"))

    return {"shutil.copytree": best(runs, copy_plainly), "git worktree add": best(runs, add_worktree)}


def measure_ours(root: Path, scratch: Path, runs: int) -> dict[str, Seconds]:
    """The cost of each thing a job does with its copy."""
    snapshot = take_snapshot(root)
    path = next(path for path in snapshot.files if path.endswith(".py"))
    opened: list[WorkspaceCopy] = []

    def open_copy(view: Snapshot) -> None:
        opened.append(WorkspaceCopy(view))

    def close_copy() -> None:
        while opened:
            opened.pop().close()

    number = itertools.count()

    def move_house() -> None:
        close_copy()
        os.environ["PATCHWRIGHT_HOME"] = str(scratch / f"home-{next(number)}")

    def edit() -> Snapshot:
        close_copy()
        return take_snapshot(root, {path: f"edited = {next(number)}\n"})

    measured = {"snapshot": best(runs, lambda: take_snapshot(root))}
    measured["copy, cold"] = best(runs, lambda: open_copy(snapshot), before=move_house)
    measured["copy, warm"] = best(runs, lambda: open_copy(snapshot), before=close_copy)
    edited = [edit() for _ in range(runs + 1)]
    measured["copy, warm, one edit"] = best(runs, lambda: open_copy(edited.pop()), before=close_copy)
    close_copy()
    open_copy(snapshot)
    measured["reset, nothing to do"] = best(runs, opened[0].reset)
    measured["reset, after a run"] = best(runs, opened[0].reset, before=lambda: spoil(opened[0], snapshot))
    measured["close, and keep"] = best(runs, close_copy, before=lambda: opened or open_copy(snapshot))
    return measured


def measure_tests(scratch: Path, runs: int) -> tuple[dict[str, Seconds], dict[str, Seconds]]:
    """Slow tests in one process and in several; nothing where no sandbox works."""
    try:
        sandbox = select_sandbox()
    except SandboxUnavailable as error:
        sys.stdout.write(f"tests were not run: {error.message}\n")
        return {}, {}
    root = scratch / "slow"
    root.mkdir()
    names = tuple(RepoPath(f"test_{number}.py") for number in range(TEST_FILES))
    for name in names:
        (root / name).write_text(SLOW_TEST)
    environment = replace(discover_environment(root, Path(sys.executable)), runner="unittest")
    several = min(MAX_WORKERS, max(2, room_here().cores))
    cancel = CancelToken()
    with open_verification(
        take_snapshot(root), sandbox=sandbox, environment=environment, issue_text="", selection=(), cancel=cancel
    ) as context:
        copies = context.copies
        assert copies is not None

        def measure(workers: int) -> Seconds:
            parts = split(names, expected_seconds(names, {}, root), workers)
            lanes = tuple(Lane(copy, part) for copy, part in zip(copies.take(workers), parts, strict=True))
            spread = replace(context, selection=names, lanes=lanes)

            def run() -> None:
                report = run_regression(spread, None, cancel)
                assert len(report.with_outcome("passed")) == 2 * TEST_FILES, report.summary

            return best(runs, run)

        return {"tests, 1 process": measure(1)}, {f"tests, {several} processes": measure(several)}


def spoil(copy: WorkspaceCopy, snapshot: Snapshot) -> None:
    """What a run of tests leaves behind."""
    first, second, third, fourth = list(snapshot.files)[:4]
    for path in (first, second, third):
        copy.write(path, "spoiled\n")
    (copy.path / fourth).unlink()
    for number in range(100):
        copy.write(RepoPath(f"left-behind/{number // 10}/{number}.txt"), "x" * 2000)


def best(runs: int, work: Callable[[], object], before: Callable[[], object] = lambda: None) -> Seconds:
    """The quickest of `runs` calls; `before` each, untimed, things are put in place and the disk settles."""
    measured = []
    for _ in range(runs):
        before()
        os.sync()
        started, cpu = time.perf_counter(), cpu_seconds()
        work()
        measured.append((time.perf_counter() - started, cpu_seconds() - cpu))
    return min(measured)


def cpu_seconds() -> float:
    """Of all threads of this process, and of the processes it waited for."""
    return sum(os.times()[:4])


def make_tree(root: Path) -> None:
    """A git repository of small files of the running Python's library and of what is installed, in a fixed order."""
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}
    files = size = 0
    for number, folder in enumerate(sorted(folders)):
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            if path.is_symlink() or not path.is_file() or {"__pycache__", "site-packages"} & {*inner.parts}:
                continue
            length = path.stat().st_size
            # The average may not run ahead: a few large files must not leave room for few others.
            if length <= LARGEST and files < FILES and size + length <= BYTES * (files + 300) / FILES:
                target = root / str(number) / inner
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
                files, size = files + 1, size + length
    git(root, "init", "--quiet")
    git(root, "add", "--all", "--force")
    git(root, "-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "--quiet", "--message", "tree")


def clone(repository: Path, root: Path) -> None:
    """What HEAD of a repository holds. Its objects are copied, not linked: a link would touch them."""
    git(repository, "clone", "--quiet", "--no-hardlinks", ".", str(root))


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


if __name__ == "__main__":
    raise SystemExit(main())
