"""Attacks on files: what may not be read and what may not be changed, by whatever way it is reached.

Each attack is first made unconfined, where it succeeds.
"""

import hashlib
import subprocess
from pathlib import Path

import pytest

from attacks import python, shell, unconfined_shell, victim
from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.types import Command
from patchwright_engine.verify.workspace import WorkspaceCopy
from patchwright_engine.workspace.snapshot import take_snapshot

READS = {
    "by its path": "cat {secret}",
    "by a relative path": "cat ../secret",
    "by a symbolic link": "ln -s {secret} way; cat way",
    "by a link that was there before": "cat link",
    "by a hard link": "ln {secret} hard; cat hard",
    "through the root of a process": "cat /proc/{pid}/root{secret}",
    "through the folder of a process": "cat /proc/{pid}/cwd/secret",
    "through an open file of a process": "cat /proc/{pid}/fd/3",
}


@pytest.mark.parametrize("way", READS)
def test_a_file_outside_cannot_be_read(sandbox: Sandbox, workspace: Path, tmp_path: Path, way: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text("PRIVATE KEY")
    (workspace / "link").symlink_to(secret)
    with victim(tmp_path, "secret") as pid:
        script = READS[way].format(secret=secret, pid=pid) + "; true"
        assert "PRIVATE" in unconfined_shell(workspace, script)
        for made in ("way", "hard"):
            (workspace / made).unlink(missing_ok=True)
        report = shell(sandbox, workspace, script)
    assert report.exit_code == 0
    assert "PRIVATE" not in report.output


HOME_SECRETS = (
    ".ssh/id_ed25519",
    ".aws/credentials",
    ".netrc",
    ".gnupg/private-keys-v1.d/key",
    ".config/gh/hosts.yml",
    ".bash_history",
)


@pytest.mark.parametrize("name", HOME_SECRETS)
def test_keys_and_credentials_of_a_home_folder_cannot_be_read(
    sandbox: Sandbox, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / name).parent.mkdir(parents=True)
    (tmp_path / "home" / name).write_text("PRIVATE KEY")
    script = f'cat {tmp_path}/home/{name} "$HOME/{name}" ~/{name}; true'
    assert "PRIVATE" in unconfined_shell(workspace, script)
    assert "PRIVATE" not in shell(sandbox, workspace, script).output


def test_the_real_home_folder_and_system_secrets_cannot_be_read(sandbox: Sandbox, workspace: Path) -> None:
    home = Path.home()
    script = f"ls {home}/* {home}/.[a-z]* && exit 0; cat /etc/shadow && exit 0; exit 7"
    report = shell(sandbox, workspace, script)
    assert report.exit_code == 7, report.output


def test_secrets_of_the_environment_do_not_enter(
    sandbox: Sandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    assert "hunter2" in unconfined_shell(workspace, "env")
    report = shell(sandbox, workspace, "env")
    assert "hunter2" not in report.output
    assert "LANG=C.UTF-8" in report.output


def test_environments_of_other_processes_cannot_be_read(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    with victim(tmp_path, AWS_SECRET_ACCESS_KEY="hunter2") as pid:
        script = f"cat /proc/{pid}/environ; echo done"
        assert "hunter2" in unconfined_shell(workspace, script)
        report = shell(sandbox, workspace, "cat /proc/[0-9]*/environ; " + script)
    assert report.output.endswith("done\n")
    assert "hunter2" not in report.output


@pytest.mark.parametrize("what", ["cmdline", "maps", "status", "mountinfo"])
def test_other_processes_cannot_be_looked_at(sandbox: Sandbox, workspace: Path, tmp_path: Path, what: str) -> None:
    with victim(tmp_path) as pid:
        script = f"cat /proc/{pid}/{what} && echo SEEN; true"
        assert "SEEN" in unconfined_shell(workspace, script)
        assert "SEEN" not in shell(sandbox, workspace, script).output


def test_memory_of_other_processes_cannot_be_read_or_written(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    with victim(tmp_path) as pid:
        script = f"open('/proc/{pid}/mem', 'r+b'); print('opened')"
        assert "opened" not in python(sandbox, workspace, script).output


def content(folder: Path) -> dict[str, tuple[int, str]]:
    """Everything below `folder` but the workspace: modes and contents."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted(folder.rglob("*"))
        if "copy" not in path.relative_to(folder).parts
    }


WRITES = {
    "by its path": "echo x > {outside}",
    "by a relative path": "echo x >> ../outside.txt",
    "by a symbolic link": "ln -s {outside} way; echo x > way",
    "by a link that was there before": "echo x > link",
    "by a hard link": "ln {outside} hard; echo x > hard",
    "through the root of a process": "echo x > /proc/{pid}/root{outside}",
    "through the folder of a process": "echo x > /proc/{pid}/cwd/outside.txt",
    "through an open file of a process": "echo x > /proc/{pid}/fd/3",
    "by moving another over it": "cp inside.txt other; mv other {outside}",
    "by deleting it": "rm -f {outside}",
    "by cutting it": "truncate -s 0 {outside}",
    "by making a folder": "mkdir {outside}.d",
    "by making a link": "ln -s nowhere {outside}.link",
    "by renaming the workspace's parent": "mv {parent}/sub {parent}/bus",
    "by changing its mode": "chmod 777 {outside}",
}


@pytest.mark.parametrize("way", WRITES)
def test_nothing_outside_can_be_changed(sandbox: Sandbox, workspace: Path, tmp_path: Path, way: str) -> None:
    outside = tmp_path / "outside.txt"
    (tmp_path / "sub").mkdir()
    (workspace / "link").symlink_to(outside)

    def attacked(inside: bool) -> bool:
        outside.write_text("precious")
        outside.chmod(0o644)
        for made in ("way", "hard"):
            (workspace / made).unlink(missing_ok=True)
        with victim(tmp_path, "outside.txt") as pid:
            script = WRITES[way].format(outside=outside, pid=pid, parent=tmp_path)
            before = content(tmp_path)
            if inside:
                shell(sandbox, workspace, script)
            else:
                unconfined_shell(workspace, script)
            return content(tmp_path) != before

    assert not attacked(inside=True)
    assert attacked(inside=False)


def test_times_and_owner_outside_cannot_be_changed(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("precious")
    script = f"touch -d 2001-01-01 {outside}; chown 1:1 {outside}"
    before = outside.stat()
    shell(sandbox, workspace, script)
    after = outside.stat()
    assert (after.st_mtime_ns, after.st_uid) == (before.st_mtime_ns, before.st_uid)
    unconfined_shell(workspace, script)
    assert outside.stat().st_mtime_ns != before.st_mtime_ns


@pytest.mark.parametrize("path", ["/etc/passwd", "/usr/bin/env", "/usr/lib/new.txt", "/proc/1/root/etc/passwd"])
def test_the_system_cannot_be_changed(sandbox: Sandbox, workspace: Path, path: str) -> None:
    real = Path(path.removeprefix("/proc/1/root"))
    before = real.read_bytes() if real.exists() else None
    assert shell(sandbox, workspace, f"echo x >> {path}").exit_code != 0
    assert (real.read_bytes() if real.exists() else None) == before


@pytest.mark.parametrize("attack", ["mkfifo {outside}.pipe", "mknod {outside}.node b 7 0", "mknod node b 7 0"])
def test_no_special_file_can_be_made(sandbox: Sandbox, workspace: Path, tmp_path: Path, attack: str) -> None:
    report = shell(sandbox, workspace, attack.format(outside=tmp_path / "outside"))
    assert report.exit_code != 0 or "mkfifo" in attack  # which a private folder of that name may hold
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy"]
    assert [path.name for path in workspace.iterdir()] == ["inside.txt"]


HOOK = "echo 'echo pwned' > {git}/hooks/pre-commit; chmod +x {git}/hooks/pre-commit"
GIT_ATTACKS = {
    "a hook": HOOK,
    "the configuration": "printf '[core]\\n\\tfsmonitor = touch x\\n' >> {git}/config",
    "the index": "rm -f {git}/index",
    "a branch": "echo 0000000000000000000000000000000000000000 > {git}/refs/heads/main",
    "the folder's name": "mv {git} {git}.away",
}


@pytest.mark.parametrize("what", GIT_ATTACKS)
def test_the_repositorys_git_folder_is_out_of_reach(sandbox: Sandbox, tmp_path: Path, what: str) -> None:
    root = tmp_path / "project"
    root.mkdir()
    for arguments in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "first"]):
        (root / "code.py").write_text("x = 1\n")
        who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
        subprocess.run(["git", *who, *arguments], cwd=root, check=True)
    script = GIT_ATTACKS[what].format(git=root / ".git")
    before = content(root)
    with WorkspaceCopy(take_snapshot(root)) as copy:
        assert not (copy.path / ".git").exists()
        sandbox.run(Command(("sh", "-c", script)), copy.path, CancelToken())
        assert content(root) == before
        # A git folder that the code makes in the copy goes with the next reset.
        made = "mkdir -p .git/hooks && echo x > .git/hooks/pre-commit"
        assert sandbox.run(Command(("sh", "-c", made)), copy.path, CancelToken()).exit_code == 0
        copy.reset()
        assert not (copy.path / ".git").exists()
    unconfined_shell(tmp_path, script)
    assert content(root) != before
