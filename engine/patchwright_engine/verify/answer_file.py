"""Where our runners inside the sandbox leave what they saw: a file in the copy, under a name that cannot be guessed.

Invariant: it is read through a descriptor opened before the run, so that replacing it changes nothing.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from patchwright_engine.room import saying_no_room
from patchwright_engine.verify.orphans import delete


@contextmanager
def answer_file(workspace: Path, name: str) -> Iterator[tuple[Path, int]]:
    """An empty file `name` in a private folder of its own, gone afterwards; its path and an open descriptor.

    Raises:
        EnvironmentProblem: the disk is full, be it in what the caller does with them.
    """
    folder = workspace / f".patchwright-{secrets.token_hex(8)}"
    with saying_no_room(workspace, "cannot run the tests in the throw-away copy"):
        folder.mkdir(mode=0o700)
        path = folder / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            yield path, descriptor
        finally:
            os.close(descriptor)
            with suppress(OSError):  # The tested code may have done anything to it; whatever stays goes with the copy.
                delete(folder)
