"""A bug's source tree without its future: the files of one commit in a fresh repository with one commit of its own.

Invariant: no object of the mirror's history is reachable from a checkout, so nothing can find the fix there.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from patchwright_engine.errors import BadInput, EnvironmentProblem
from patchwright_engine.types import FileEdit, Patch, RepoPath

_SETTINGS = (
    "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false",
    "-c", "core.autocrlf=false", "-c", "core.hooksPath=/dev/null", "-c", "core.excludesFile=/dev/null",
    "-c", "safe.directory=*", "-c", "gc.auto=0",
)  # fmt: skip


def find_mirror(repos: Path, name: str, commit: str) -> Path:
    """The bare mirror `repos/NAME/repo`, which holds `commit`.

    Raises:
        EnvironmentProblem: it is missing or lacks the commit.
    """
    mirror = repos / name / "repo"
    cure = f"Make it with: git clone --mirror URL {mirror}"
    if not (mirror / "objects").is_dir():
        raise EnvironmentProblem(f"there is no mirror {mirror}", cure)
    try:
        _git(mirror, "cat-file", "-e", f"{commit}^{{commit}}")
    except EnvironmentProblem as error:
        raise EnvironmentProblem(f"the mirror {mirror} lacks the commit {commit}", cure) from error
    return mirror


def find_any_mirror(repos: Path, repo: str, commit: str) -> Path:
    """The mirror of 'owner/name', or of a fork of that name, that holds `commit`: not every public copy holds all.

    Raises:
        EnvironmentProblem: there is none.
    """
    own = repo.replace("/", "+")
    forks = sorted(path.name for path in repos.glob(f"*+{repo.rpartition('/')[2]}") if path.name != own)
    for name in (own, *forks):
        try:
            return find_mirror(repos, name, commit)
        except EnvironmentProblem:
            continue
    return find_mirror(repos, own, commit)


def check_out_sources(
    mirror: Path, commit: str, destination: Path, wanted: Callable[[RepoPath], bool] = lambda _: True
) -> None:
    """Write the `wanted` files of `commit` below `destination` (which must not exist), with the history before it.

    The history is borrowed from the mirror: no ref leads to anything later, but who knows the name of a later commit
    finds it. So this is for code that reads history, never for code that runs what it finds; that is `check_out`'s.
    Files that the mirror itself lacks, as one without its largest files does, are left out.

    Raises:
        EnvironmentProblem: git is missing or failed, or the disk cannot be written.
    """
    try:
        destination.mkdir(parents=True)
        _git(destination, "init", "-q", "--template=")
        borrowed = destination / ".git" / "objects" / "info" / "alternates"
        borrowed.parent.mkdir(parents=True, exist_ok=True)
        borrowed.write_text(f"{(mirror / 'objects').resolve()}\n", encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"cannot write the checkout {destination}: {error}", "Free disk space.") from error
    _git(destination, "update-ref", "--no-deref", "HEAD", commit)
    _git(destination, "read-tree", commit)
    tracked = [entry.partition("\t") for entry in _git(destination, "ls-files", "-s", "-z").split("\0") if entry]
    chosen = {path: head.split(" ")[1] for head, _, path in tracked if wanted(RepoPath(path))}
    known = _git(destination, "cat-file", "--batch-check", given="".join(f"{name}\n" for name in chosen.values()))
    held = {line.split(" ", 1)[0] for line in known.splitlines() if not line.endswith(" missing")}
    paths = "".join(f"{path}\0" for path, name in chosen.items() if name in held)
    _git(destination, "checkout-index", "-z", "--stdin", given=paths)


def check_out(
    mirror: Path, commit: str, destination: Path, replaced: Mapping[RepoPath, str | None] | None = None
) -> None:
    """Write the files of `commit` below `destination` (which must not exist), and commit them there as a beginning.

    `replaced` gives files another text, or leaves them out (None).

    Raises:
        EnvironmentProblem: git is missing or failed, or the disk cannot be written.
    """
    try:
        destination.mkdir(parents=True)
        with tempfile.TemporaryFile() as archive:
            _git(mirror, "archive", "--format=tar", commit, output=archive.fileno())
            archive.seek(0)
            with tarfile.open(fileobj=archive) as tar:
                tar.extractall(destination, filter=_inside)
        for path, text in (replaced or {}).items():
            _replace(destination / path, text)
    except OSError as error:
        raise EnvironmentProblem(f"cannot write the checkout {destination}: {error}", "Free disk space.") from error
    _git(destination, "init", "-q", "--template=")
    # Forced: files that are tracked although an ignore rule names them are part of the project.
    _git(destination, "add", "-A", "-f")
    _git(destination, "commit", "-q", "--allow-empty", "-m", "base")


def with_tests(tree: Path, destination: Path, diff: str) -> None:
    """A copy of `tree`, generated files and all, in which the developer has written the tests of `diff`.

    Raises:
        EnvironmentProblem: the diff does not apply, or the disk cannot be written.
    """
    try:
        shutil.copytree(tree, destination, symlinks=True)
    except (OSError, shutil.Error) as error:
        raise EnvironmentProblem(f"cannot copy {tree}: {error}", "Free disk space.") from error
    _git(destination, "add", "-u")  # The copied files have other stamps than the index knows.
    _git(destination, "apply", "--whitespace=nowarn", "--index", "-", given=diff)
    _git(destination, "commit", "-q", "--amend", "-m", "base")
    _git(destination, "reflog", "expire", "--expire=now", "--all")


def to_patch(tree: Path, diff: str) -> Patch:
    """The edits that `diff` makes to the files of `tree`, which stays as it is.

    Raises:
        BadInput: the diff does not apply, or does something that edits cannot say (deletes, renames, is binary).
    """
    cure = "Check that the diff belongs to the base commit."
    with tempfile.TemporaryDirectory(prefix="patchwright-bench-") as name:
        scratch = Path(name)
        try:
            _git(scratch, "init", "-q", "--template=")
            stats = _git(scratch, "apply", "--numstat", "-z", "-", given=diff).split("\0")
            paths = [RepoPath(entry.split("\t")[2]) for entry in stats if entry.count("\t") == 2]
            for path in paths:
                if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                    raise BadInput(f"the diff leaves the repository: {path}", cure)
                if (tree / path).is_file():
                    (scratch / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(tree / path, scratch / path)
            _git(scratch, "apply", "--whitespace=nowarn", "-", given=diff)
        except EnvironmentProblem as error:
            raise BadInput(f"the diff does not apply: {error.message}", cure) from error
        return Patch(tuple(_edit(tree / path, scratch / path, path) for path in paths))


def _edit(old: Path, new: Path, path: RepoPath) -> FileEdit:
    if not new.is_file():
        raise BadInput(f"the diff deletes or renames {path}, which no edit can say", "Leave this instance out.")
    before = old.read_bytes() if old.is_file() else b""
    texts = [content.decode("utf-8", "surrogateescape") for content in (before, new.read_bytes())]
    return FileEdit(path, texts[0], texts[1], created=not old.is_file())


def _inside(member: tarfile.TarInfo, destination: str) -> tarfile.TarInfo | None:
    """Leave out what points outside the tree: links of test data to /dev/null and the like."""
    try:
        return tarfile.data_filter(member, destination)
    except tarfile.FilterError:
        return None


def _replace(target: Path, text: str | None) -> None:
    if text is None:
        target.unlink(missing_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8", newline="")


def _git(folder: Path, *arguments: str, given: str | None = None, output: int = subprocess.PIPE) -> str:
    """Standard output of one git command in `folder`, away from the user's and the machine's own settings."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    environment |= {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "LC_ALL": "C"}
    environment["GIT_CEILING_DIRECTORIES"] = str(folder.parent)
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *_SETTINGS, *arguments],
            env=environment,
            input=given.encode("utf-8", "surrogateescape") if given is not None else None,
            stdin=subprocess.DEVNULL if given is None else None,
            stdout=output,
            stderr=subprocess.PIPE,
            check=False,
        )
    except FileNotFoundError as error:
        raise EnvironmentProblem("git is not installed", "Install git.") from error
    if done.returncode != 0:
        reason = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise EnvironmentProblem(f"git {arguments[0]} failed in {folder}: {reason}", "Check the mirror and the disk.")
    return (done.stdout or b"").decode("utf-8", "surrogateescape")
