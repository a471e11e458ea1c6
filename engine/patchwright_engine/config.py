"""Where Patchwright keeps things and what the user set. Nothing here is ever read from a repository.

`PATCHWRIGHT_HOME` moves everything below one folder (tests, portable installs, a second profile).
"""

import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from patchwright_engine.errors import BadInput
from patchwright_engine.room import temporary_folder

ROLES = ("reasoner", "prm", "orm")
"""Who may have a LoRA adapter: the one who writes, the judge of stages, the judge of patches."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The platform's folders for us. None is created before something is written to it."""

    data: Path
    """Models."""
    cache: Path
    """Indexes, computed prompts and partial downloads; may be deleted at any time."""
    state: Path
    """Traces and logs."""
    runtime: Path
    """Sockets and locks; private to the user."""
    config: Path

    @property
    def models(self) -> Path:
        return self.data / "models"

    @property
    def traces(self) -> Path:
        return self.state / "traces"


def folders() -> Folders:
    """Resolve the folders from the environment."""
    home = os.environ.get("PATCHWRIGHT_HOME")
    if home:
        base = Path(home).expanduser().absolute()
        return Folders(base / "data", base / "cache", base / "state", base / "run", base / "config")
    dirs = platformdirs.PlatformDirs("patchwright", appauthor=False)
    cache = Path(dirs.user_cache_dir)
    runtime = _runtime(cache)
    return Folders(Path(dirs.user_data_dir), cache, Path(dirs.user_state_dir), runtime, Path(dirs.user_config_dir))


def copies_folder() -> Path:
    """Where copies of workspaces lie, in use and between jobs. May be deleted at any time.

    Not in the cache folder: `~/.cache` is hidden, and programs whose tests run there behave differently (Express
    answers 404 for files below a hidden folder).

    Raises:
        FileNotFoundError: nothing may be written to any temporary folder.
    """
    if os.environ.get("PATCHWRIGHT_HOME"):
        return folders().cache / "copies"
    return temporary_folder() / f"patchwright-copies-{os.getuid()}"


def _runtime(cache: Path) -> Path:
    """The same for every process of a user: whether it was started by a session, by a timer or with `docker exec`.

    A session's folder that is somebody else's (left in the environment by `su`) is none.
    """
    default = f"/run/user/{os.getuid()}" if sys.platform == "linux" else ""
    session = os.environ.get("XDG_RUNTIME_DIR") or default
    try:
        if session and Path(session).stat().st_uid == os.getuid():
            return Path(session) / "patchwright"
    except OSError:
        pass
    return cache / "run"


@dataclass(frozen=True, slots=True)
class Settings:
    """The user's own settings, from `config.toml` in the config folder; flags override them."""

    model: str | None = None
    """Catalog name, path of a GGUF file, or URL of an OpenAI-compatible server. None: chosen by the probe."""
    offline: bool = True
    """Refuse every socket that would leave this machine, except `models pull` and a model URL given by hand."""
    python: str | None = None
    """Interpreter that runs the user's tests. None: discovered."""
    runner: str | None = None
    """Test runner: 'pytest', 'unittest', 'django', ... None: discovered."""
    disk_cache_bytes: int = 1 << 30
    """Disk for computed prompts, from which a later model host goes on; 0 keeps none."""
    kept_copies_bytes: int = 2 << 30
    """Disk for copies of workspaces that wait for the next job; 0 keeps none."""
    draft_model: str | None = None
    """Catalog name or path of a small model that guesses for the large one; None: the prompt alone guesses."""
    adapters: tuple[tuple[str, Path], ...] = ()
    """(role, GGUF file) of the LoRA adapters to load beside the model, from the table `[adapters]`."""


def load_settings(path: Path | None = None) -> Settings:
    """Read the user's settings; a missing file means defaults.

    Raises:
        BadInput: the file is not TOML or holds an unknown key or a value of the wrong type.
    """
    path = path or folders().config / "config.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return Settings()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"cannot read the settings in {path}: {error}", "Mend or delete the file.") from error
    types: dict[str, type] = {
        "model": str,
        "offline": bool,
        "python": str,
        "runner": str,
        "disk_cache_bytes": int,
        "kept_copies_bytes": int,
        "draft_model": str,
        "adapters": dict,
    }
    for key, value in values.items():
        expected = types.get(key)
        if expected is None:
            raise BadInput(f"{path}: unknown setting '{key}'", f"Known settings: {', '.join(types)}.")
        if not isinstance(value, expected):
            kind = "table" if expected is dict else expected.__name__
            raise BadInput(f"{path}: '{key}' must be a {kind}", "Mend the value.")
    return Settings(**{**values, "adapters": _adapters(path, values.get("adapters", {}))})


def _adapters(path: Path, table: dict[str, object]) -> tuple[tuple[str, Path], ...]:
    """(role, file) of each line; a relative path starts at the settings' folder."""
    files: list[tuple[str, Path]] = []
    for role, file in table.items():
        if role not in ROLES:
            raise BadInput(f"{path}: unknown adapter role '{role}'", f"Roles: {', '.join(ROLES)}.")
        if not isinstance(file, str) or not file:
            raise BadInput(f"{path}: the adapter '{role}' must be the path of a GGUF file", "Mend the value.")
        files.append((role, path.parent / Path(file).expanduser()))
    return tuple(files)
