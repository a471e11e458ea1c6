"""Build a project's environment with the user's consent: a plan to show first, then an isolated one in the cache.

This is the one place that installs anything. It runs outside the sandbox and asks the user's own package index, so
what it installs is reduced to names with version bounds (see `environments.asked`): no address, path or option of the
repository has a part in it. Invariant: without the user's word that dependencies may be built, only wheels are
installed, so no code of the project or of a dependency runs. The project itself is never built: the copy's code comes
first on the path, and a record of its name, version and entry points lets it find itself.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.config import folders
from patchwright_engine.control import CancelToken, Progress, ProgressSink
from patchwright_engine.errors import BadInput, EnvironmentProblem
from patchwright_engine.verify.environments.asked import Asked, what_is_asked
from patchwright_engine.verify.environments.installers import base_python, install_commands, own_pip_serves, usable_uv
from patchwright_engine.verify.environments.prefix import normalized

SCHEMA = 1
_RECORD = "built.json"
_TAIL = 20
"""Lines of a failed command's output that the error shows."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What `build` would do; shown to the user before."""

    root: Path
    folder: Path
    """Where it is built, in the user's cache; its name is the key of everything that goes into it."""
    python: Path
    """The interpreter it is made from."""
    version: str
    requirements: tuple[str, ...]
    pins: tuple[str, ...]
    files: tuple[str, ...]
    """The project's files that this was read from."""
    left_out: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...]
    """What the user should know before the consent."""
    described: tuple[str, ...] = ()
    """Name, version and entry points of the project, so that it finds itself though it is not installed."""


@dataclass(frozen=True, slots=True)
class Built:
    """A finished environment."""

    python: Path
    reason: str
    folder: Path


def plan_build(root: Path, *, python: Path | None = None, allow_building: bool = False) -> BuildPlan:
    """What would be installed for the project at `root`, from which of its files, by which commands.

    `allow_building`: dependencies without a wheel may be built, which runs their code outside the sandbox.

    Raises:
        BadInput: the project's files ask for nothing that could be installed.
        EnvironmentProblem: no interpreter here suits the project.
    """
    root = root.absolute()
    asked = what_is_asked(root)
    if not asked.requirements:
        raise BadInput(
            f"no file of {root} says what to install",
            "Known are pyproject.toml, setup.cfg, setup.py, requirements files and Pipfile.",
        )
    base, version = base_python(asked, python)
    requirements = _with_runner(asked.requirements)
    folder = _home() / _key(asked, version)
    uv = usable_uv()
    commands = install_commands(
        base, folder, uv, allow_building=allow_building, pinned=bool(asked.pins), own_pip=own_pip_serves(version)
    )
    remarks = [
        "Dependencies without a wheel may be built: their own code runs outside the sandbox."
        if allow_building
        else "Wheels only: no code of the project or of a dependency runs while installing."
    ]
    remarks.append("Packages come from the index of your own pip settings; the project cannot name another.")
    if uv is None and shutil.which("uv"):
        remarks.append("pip installs, not uv: your pip settings name an index or a proxy, which uv does not read.")
    if asked.name and not asked.version:
        remarks.append("The project's version is computed by its build, so its record in the environment says 0.")
    if asked.compiled:
        remarks.append(
            f"The project has compiled parts ({asked.compiled}), which are not built: tests that import them fail. "
            "Build it yourself and name its interpreter with the setting `python` where that matters."
        )
    return BuildPlan(
        root=root,
        folder=folder,
        python=base,
        version=version,
        requirements=requirements,
        pins=asked.pins,
        files=asked.files,
        left_out=asked.left_out,
        commands=commands,
        remarks=tuple(remarks),
        described=(asked.name, asked.version or "0", *asked.entry_points) if asked.name else (),
    )


def build(plan: BuildPlan, cancel: CancelToken, progress: ProgressSink) -> Built:
    """Carry the plan out. Only ever called with the user's word. A finished one is reused; a broken one is removed.

    Raises:
        EnvironmentProblem: a command failed; the message holds the end of what it said.
        Cancelled: nothing is left of it.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    with _locked(plan.folder):
        found = _read(plan.folder)
        if found is not None:
            return found
        _clear(plan.folder)
        try:
            (plan.folder / "requirements.txt").write_text("\n".join(plan.requirements) + "\n", encoding="utf-8")
            (plan.folder / "constraints.txt").write_text("\n".join(plan.pins) + "\n", encoding="utf-8")
            for command in plan.commands:
                progress(Progress("environment", " ".join(_short(command))))
                _run(command, plan.folder, cancel, progress)
            _describe(plan)
            record = {"schema": SCHEMA, "root": str(plan.root), "files": list(plan.files), "version": plan.version}
            partial = plan.folder / f"{_RECORD}.partial"
            partial.write_text(json.dumps(record), encoding="utf-8")
            partial.replace(plan.folder / _RECORD)
        except OSError as error:
            _clear(plan.folder)
            raise EnvironmentProblem(
                f"cannot write {plan.folder}: {error.strerror or error}", "Free disk space, or set PATCHWRIGHT_HOME."
            ) from error
        except BaseException:
            _clear(plan.folder)
            raise
        built = _read(plan.folder)
        assert built is not None
        return built


def find_built(root: Path, asked: Asked) -> tuple[Built | None, str]:
    """(the environment built from the files as they are now, '') or (None, a note when they have changed since)."""
    if not asked.requirements or not _home().is_dir():
        return None, ""
    outdated = ""
    for folder in sorted(_home().iterdir()):
        version = _built_version(folder)
        if version and folder.name == _key(asked, version):
            built = _read(folder)
            if built is not None:
                return built, ""
        elif version and _record(folder).get("root") == str(root):
            outdated = (
                "The environment that `patchwright env build` made was passed over: what the project asks for has "
                "changed since. Build it again."
            )
    return None, outdated


def remove_built(root: Path) -> tuple[Path, ...]:
    """Delete every environment built for `root`, outdated ones too; returns their folders."""
    root = root.absolute()
    current, _ = find_built(root, what_is_asked(root))
    removed: list[Path] = []
    for folder in sorted(_home().iterdir()) if _home().is_dir() else []:
        if _record(folder).get("root") == str(root) or (current is not None and folder == current.folder):
            with _locked(folder):
                _clear(folder)
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return tuple(removed)


def _describe(plan: BuildPlan) -> None:
    """Tell `importlib.metadata` of the project. Its code is the copy's: only this record of it is installed."""
    if not plan.described:
        return
    name, version, *entry_points = plan.described
    site = next((plan.folder / "venv").glob("lib/python3*/site-packages"))
    folder = site / f"{normalized(name).replace('-', '_')}-{version}.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    (folder / "INSTALLER").write_text("patchwright\n", encoding="utf-8")
    if entry_points:
        (folder / "entry_points.txt").write_text("\n".join(entry_points) + "\n", encoding="utf-8")


def _home() -> Path:
    return folders().cache / "environments"


def _key(asked: Asked, version: str) -> str:
    """Equal for equal contents: the lines asked for, the locked versions and the version of Python."""
    parts = [str(SCHEMA), version, *sorted(_with_runner(asked.requirements)), "--", *asked.pins]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _with_runner(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """With pytest, where nothing asks for it: our runner for everything but Django's own."""
    named = {normalized(re.split(r"[\[ ;<>=!~]", line, maxsplit=1)[0]) for line in requirements}
    return requirements if named & {"pytest", "django"} else (*requirements, "pytest")


def _run(command: tuple[str, ...], folder: Path, cancel: CancelToken, progress: ProgressSink) -> None:
    """One command in a process group of its own, stopped at a cancel; its output goes to the progress, line by line."""
    dropped = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")
    environment = {key: value for key, value in os.environ.items() if key not in dropped}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shown = ""
            while process.poll() is None:
                cancel.wait(0.1)
                cancel.check()
                line = _last_line(_tail(output.fileno()))
                if line and line != shown:
                    progress(Progress("environment", line[:200]))
                    shown = line
        except BaseException:
            _kill(process)
            raise
        if process.returncode != 0:
            lines = _tail(output.fileno()).strip().splitlines()[-_TAIL:]
            raise EnvironmentProblem(
                f"`{' '.join(_short(command))}` failed:\n" + "\n".join(lines), _cure("\n".join(lines), command)
            )


def _cure(said: str, command: tuple[str, ...]) -> str:
    if any("only-binary" in part for part in command) and re.search(
        r"No matching distribution|no wheels|no usable wheels|only-binary", said
    ):
        return (
            "A dependency may have no wheel for this machine. With --allow-building it is built, which runs its code "
            "outside the sandbox; or choose another interpreter with --python."
        )
    return "Mend what it says, or make the environment yourself and name its interpreter with the setting `python`."


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, 16_384, max(0, size - 16_384)).decode("utf-8", "replace")


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _short(command: tuple[str, ...]) -> list[str]:
    return [Path(command[0]).name, *command[1:]]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two builds of the same environment wait for each other; the lock goes with its process."""
    import fcntl  # not on Windows, where importing this module must do no harm

    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    """Everything but the lock, the record first, so that a half-deleted one never counts as built."""
    (folder / _RECORD).unlink(missing_ok=True)
    shutil.rmtree(folder / "venv", ignore_errors=True)
    for name in ("requirements.txt", "constraints.txt", f"{_RECORD}.partial"):
        (folder / name).unlink(missing_ok=True)


def _record(folder: Path) -> dict[str, object]:
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and record.get("schema") == SCHEMA else {}


def _built_version(folder: Path) -> str:
    return str(_record(folder).get("version") or "")


def _read(folder: Path) -> Built | None:
    """The finished environment there; None when it was never finished or its interpreter is gone."""
    record = _record(folder)
    python = folder / "venv" / "bin" / "python"
    if not record or not os.access(python, os.X_OK):
        return None
    listed = record.get("files")
    files = ", ".join(str(name) for name in listed) if isinstance(listed, list) else ""
    return Built(python, f"built by `patchwright env build` from {files}", folder)
