"""How the attack tests run an attack: inside a sandbox, and unconfined to show that it would succeed."""

import os
import platform
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.sandbox.landlock_launcher import landlock_version
from patchwright_engine.types import Command, RunReport

PYTHON = "/usr/bin/python3"
MACHINE = {"x86_64": 0, "aarch64": 1}.get(platform.machine())
"""The column of the system call tables."""


def shell(sandbox: Sandbox, workspace: Path, script: str, **limits: float) -> RunReport:
    """Run a shell script inside."""
    command = Command(("sh", "-c", script), **{"timeout_seconds": 20.0, **limits})  # type: ignore[arg-type]
    return sandbox.run(command, workspace, CancelToken())


def python(sandbox: Sandbox, workspace: Path, script: str, **limits: float) -> RunReport:
    """Run a Python script inside."""
    if not os.access(PYTHON, os.X_OK):
        pytest.skip("no system Python")
    command = Command((PYTHON, "-c", script), **{"timeout_seconds": 20.0, **limits})  # type: ignore[arg-type]
    return sandbox.run(command, workspace, CancelToken())


def unconfined(workspace: Path, *argv: str) -> str:
    """What the same program prints without a sandbox, standard error included."""
    done = subprocess.run(
        argv, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30, check=False
    )
    return done.stdout


def unconfined_shell(workspace: Path, script: str) -> str:
    return unconfined(workspace, "sh", "-c", script)


def unconfined_python(workspace: Path, script: str) -> str:
    if not os.access(PYTHON, os.X_OK):
        pytest.skip("no system Python")
    return unconfined(workspace, PYTHON, "-c", script)


@contextmanager
def victim(folder: Path, *opened: str, **environment: str) -> Iterator[int]:
    """A process of the same user outside, at work in `folder` with files open from descriptor 3 on. Yields its id."""
    redirected = " ".join(f"{number}<>{name}" for number, name in enumerate(opened, start=3))
    process = subprocess.Popen(
        ["sh", "-c", f"exec sleep 300 {redirected}"],
        cwd=folder,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    while psutil.Process(process.pid).name() != "sleep":
        assert process.poll() is None
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def living(marker: str) -> list[int]:
    """Processes with `marker` among their arguments."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if marker in (process.info["cmdline"] or []) and process.status() != psutil.STATUS_ZOMBIE
    ]


def skip_without_signal_scope(sandbox: Sandbox) -> None:
    """Older kernels cannot keep signals from processes outside at the Landlock level, which its promises say."""
    if sandbox.level == "landlock" and landlock_version() < 6:
        pytest.skip("this kernel's Landlock does not scope signals")
