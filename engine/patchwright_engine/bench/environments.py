"""The virtual environment of an instance, made by the instance's own install commands.

They run on this machine as the user, outside the sandbox and with the network: whoever starts a benchmark over an
instance file has read its commands and wants that. Leading commands that do not speak of the checkout are run once
for all instances that share them. Invariant: an environment counts only once its last command ended well.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from patchwright_engine.bench.instances import Instance
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import EnvironmentProblem
from patchwright_engine.sandbox.process import Launch, run_bounded
from patchwright_engine.types import Command

INSTALL_SECONDS = 1800.0
"""For one install command: the longest that a large project may compile."""
_SHOWN = 800
_MARK = "complete"
_OF_CHECKOUT = re.compile(r"(?:^|\s)(?:-e|-r|--editable|--requirement|\.\S*)(?:\s|$)|\$\{?CHECKOUT\b")
_NOT_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "GIT_", "PATCHWRIGHT_")


def build_environment(
    instance: Instance, checkout: Path, folder: Path, *, shared: Path, cancel: CancelToken, say: Callable[[str], None]
) -> Path:
    """Run the install commands for `checkout`; returns the interpreter, `folder/bin/python`.

    `shared` is where environments that several instances begin with are kept.

    Raises:
        EnvironmentProblem: a command failed; the message ends with what it printed.
        Cancelled: nothing of the environment is left.
    """
    commands = [command for command in instance.install if not command.lstrip().startswith("export ")]
    first = next((n for n, command in enumerate(commands) if _OF_CHECKOUT.search(command)), len(commands))
    common, own = commands[:first], commands[first:]
    try:
        begun = _shared_environment(instance, common, shared, cancel, say)
        shutil.rmtree(folder, ignore_errors=True)
        if begun is not None:
            _copy_environment(begun, folder)
        _run_all(own, instance, (checkout, folder), cancel, say)
    except OSError as error:
        raise EnvironmentProblem(f"cannot write the environment {folder}: {error}", "Free disk space.") from error
    python = folder / "bin" / "python"
    if not os.access(python, os.X_OK):
        raise EnvironmentProblem(
            f"the install commands of {instance.instance_id} made no VENV/bin/python",
            "The first of them should be: python3.11 -m venv VENV",
        )
    return python


def _shared_environment(
    instance: Instance, commands: Sequence[str], shared: Path, cancel: CancelToken, say: Callable[[str], None]
) -> Path | None:
    if not commands:
        return None
    key = json.dumps([instance.python, list(commands), instance.constraints])
    folder = shared / hashlib.sha256(key.encode()).hexdigest()[:16]
    with locked(shared, folder.name, cancel):
        if (folder / _MARK).exists():
            return folder / "venv"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _run_all(commands, instance, (folder, folder / "venv"), cancel, say)
        (folder / _MARK).touch()
    return folder / "venv"


def _run_all(
    commands: Sequence[str], instance: Instance, at: tuple[Path, Path], cancel: CancelToken, say: Callable[[str], None]
) -> None:
    checkout, venv = at
    variables = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_OURS)}
    variables |= {"CHECKOUT": str(checkout), "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    if instance.constraints:
        constraints = checkout.parent / "constraints.txt"
        constraints.write_text(instance.constraints, encoding="utf-8")
        variables["PIP_CONSTRAINT"] = str(constraints)
    for command in commands:
        # `bin/pip` would start the interpreter it was made for, which is another one in a copied environment.
        line = re.sub(r"\bVENV/bin/pip3?(?=\s)", "VENV/bin/python -m pip", command)
        line = re.sub(r"\bVENV\b", shlex.quote(str(venv)), line)
        say(command if len(command) <= 100 else command[:99] + "…")
        done = run_bounded(
            Launch(("sh", "-c", f'cd "$CHECKOUT" && {line}'), variables),
            Command((), timeout_seconds=INSTALL_SECONDS, memory_bytes=8 << 30, max_processes=512),
            cancel,
        )
        if done.exit_code == 0:
            continue
        status = f"exit status {done.exit_code}" if done.exit_code is not None else done.outcome
        cure = "Run the command by hand to see more; what it needs may be missing on this machine."
        if done.exit_code == 127:
            cure = f"Install what is missing, e.g. Python {instance.python} so that python{instance.python} is on PATH."
        raise EnvironmentProblem(f"`{command}` failed ({status}): {done.output.strip()[-_SHOWN:]}", cure)


def _copy_environment(source: Path, target: Path) -> None:
    """The same environment at another place: files are shared (pip replaces files, it never writes into them)."""
    if not source.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy)
    # Scripts name the interpreter they were made for.
    old, new = f"#!{source}/bin/".encode(), f"#!{target}/bin/".encode()
    for script in (target / "bin").glob("*"):
        if script.is_file() and not script.is_symlink():
            content = script.read_bytes()
            if content.startswith(old):
                mode = script.stat().st_mode
                script.unlink()
                script.write_bytes(new + content[len(old) :])
                script.chmod(mode)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target


@contextmanager
def locked(folder: Path, name: str, cancel: CancelToken) -> Iterator[None]:
    """Hold `folder/NAME.lock`, which other threads and other benchmarks of this user may hold now."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                cancel.wait(0.2)
                cancel.check()
        yield
