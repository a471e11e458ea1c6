"""Room on the disk for what is thrown away afterwards: where it is, and what to tell when there is none.

Invariant: no temporary file ever lies in the folder that the user works in, which is where Python puts them when every
other place is full.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from patchwright_engine.errors import EnvironmentProblem

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_VARIABLES = ("TMPDIR", "TEMP", "TMP")
_USUAL = ("/tmp", "/var/tmp", "/usr/tmp")
_COPY = "cannot make a throw-away copy of the project"


def temporary_folder() -> Path:
    """The system's folder for temporary files: TMPDIR, else the usual ones, never the current folder.

    Raises:
        FileNotFoundError: none of them takes a file.
    """
    try:
        found = Path(tempfile.gettempdir())
        if found != Path.cwd() or str(found) in _USUAL or found in _named():
            return found
        tempfile.tempdir = None  # What is full now need not be for ever.
    except FileNotFoundError:
        pass
    places = ", ".join(dict.fromkeys([*map(str, _named()), *_USUAL[:2]]))
    raise FileNotFoundError(errno.ENOENT, f"no folder for temporary files takes one ({places})")


def lacks_room(error: OSError) -> bool:
    """Whether the disk, or the user's share of it, is full."""
    return error.errno in _NO_ROOM


def no_room(
    error: OSError, folder: Path | None = None, needed: Callable[[], int] = lambda: 0, what: str = _COPY
) -> EnvironmentProblem:
    """What to tell when something temporary cannot be written below `folder`; `needed` counts its bytes."""
    place, variable = _setting_of(folder)
    message = f"{what}{f' in {place}' if place else ''}: {error.strerror or error}"
    better = "a folder you can write to"
    if lacks_room(error):
        better = "a folder on a disk with more room"
        wanted = needed()
        told = [f"{_free(place)} free"] if place else []
        told += [f"at least {_megabytes(wanted)} needed"] if wanted else []
        message += f" ({', '.join(told)})" if told else ""
    example = f"`{variable}=/path/to/folder patchwright ...`"
    return EnvironmentProblem(
        message, f"Free disk space there, or name {better}: {example}. Your files are as they were."
    )


@contextmanager
def saying_no_room(folder: Path | None = None, what: str = "cannot write a temporary file") -> Iterator[None]:
    """Turn the errors of a full disk into one with its cure; others pass.

    Raises:
        EnvironmentProblem: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if lacks_room(error):
            raise no_room(error, folder, what=what) from error
        raise


def _named() -> list[Path]:
    return [Path(os.path.abspath(value)) for name in _VARIABLES if (value := os.environ.get(name))]  # noqa: PTH100 - as tempfile does


def _setting_of(folder: Path | None) -> tuple[Path | None, str]:
    """The folder that the user may have set and that holds `folder`, and the variable that sets it."""
    home = os.environ.get("PATCHWRIGHT_HOME")
    if home and folder is not None:
        own = Path(home).expanduser().resolve()
        if folder.resolve().is_relative_to(own):
            return own, "PATCHWRIGHT_HOME"
    try:
        usual = temporary_folder()
    except FileNotFoundError:
        return folder, "TMPDIR"
    inside = folder is None or folder.resolve().is_relative_to(usual.resolve())
    return (usual if inside else folder), "TMPDIR"


def _free(place: Path) -> str:
    try:
        return _megabytes(shutil.disk_usage(next(one for one in (place, *place.parents) if one.exists())).free)
    except OSError:
        return "nothing"


def _megabytes(size: int) -> str:
    megabytes = size / 1e6
    return f"{megabytes:.0f} MB" if megabytes >= 10 else f"{megabytes:.1f} MB" if megabytes >= 0.1 else "nothing"
