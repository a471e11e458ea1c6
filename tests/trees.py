"""Folders of files for tests of copies: made from a description, compared byte for byte, stamped to the nanosecond."""

import hashlib
import os
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

Picture = Mapping[str, tuple[str, str, int]]
"""Path → kind, digest or link target, permission bits. Equal pictures are the same tree to any program."""


def picture(root: Path) -> Picture:
    """All there is below `root` but git's own folder."""
    found: dict[str, tuple[str, str, int]] = {}
    for path in _below(root):
        info = path.lstat()
        mode = stat.S_IMODE(info.st_mode)
        name = path.relative_to(root).as_posix()
        if name == ".git" or name.startswith(".git/"):
            continue
        if stat.S_ISLNK(info.st_mode):
            found[name] = ("link", str(path.readlink()), 0)
        elif stat.S_ISDIR(info.st_mode):
            found[name] = ("folder", "", mode)
        elif stat.S_ISREG(info.st_mode):
            found[name] = ("file", hashlib.sha256(path.read_bytes()).hexdigest(), mode)
        else:
            found[name] = ("other", "", mode)
    return found


def exact_picture(root: Path) -> Mapping[str, tuple[object, ...]]:
    """All there is below `root`, git's folder included: inode, mode, owner, links, times of change, content."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (root, *_below(root)):
        info = path.lstat()
        content = ""
        if stat.S_ISREG(info.st_mode):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(info.st_mode):
            content = str(path.readlink())
        found[path.relative_to(root).as_posix()] = (
            *(info.st_ino, info.st_mode, info.st_uid, info.st_gid, info.st_nlink),
            *(info.st_size, info.st_mtime_ns, info.st_ctime_ns, content),
        )
    return found


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *identity, *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout


def make_awkward(root: Path) -> Path:
    """A git repository with every kind of file that copies have got wrong. Returns its resolved root."""
    files = {
        b"plain.py": (b"x = 1\n", 0o644),
        b"windows.py": (b"x = 1\r\ny = 2\r\n", 0o644),
        b"no-end": (b"no line end", 0o644),
        b"empty": (b"", 0o644),
        b"run.sh": (b"#!/bin/sh\n", 0o755),
        b"read-only": (b"x", 0o444),
        b"private": (b"x", 0o600),
        b"caf\xe9.txt": (b"not UTF-8 in its name\n", 0o644),
        b"white space\nand a line end.txt": (b"x", 0o644),
        b"binary.bin": (bytes(range(256)) * 16, 0o644),
        b"large.bin": (hashlib.shake_256(b"large").digest(5 << 20), 0o644),
        b"same-a": (b"same\n", 0o644),
        b"same-b": (b"same\n", 0o755),
        "tief/größe/a.py".encode(): (b"a = 1\n", 0o644),
        b"pkg/__init__.py": (b"", 0o644),
        b".hidden/x": (b"x", 0o644),
        b".gitignore": (b"secret.env\nignored/\n_version.py\n*.so\n", 0o644),
    }
    for name, (content, mode) in files.items():
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    (root / "link.py").symlink_to("plain.py")
    (root / "pkg" / "up.py").symlink_to("../plain.py")
    (root / "linked").symlink_to("pkg", target_is_directory=True)
    for folder in (path for path in _below(root) if path.is_dir() and not path.is_symlink()):
        folder.chmod(0o755)
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "first")
    return root.resolve()


def _below(root: Path) -> list[Path]:
    return sorted(Path(folder, name) for folder, names, files in os.walk(root) for name in (*names, *files))
