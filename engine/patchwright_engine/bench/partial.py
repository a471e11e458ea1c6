"""What is known of an instance that is not finished: kept step by step, so that an interrupted one goes on.

Invariant: a value is there whole or not at all, and one that cannot be read is as if it were not there.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchwright_engine.errors import EnvironmentProblem


@dataclass(frozen=True, slots=True)
class Partial:
    """Values by name, in a folder of their own."""

    folder: Path

    def recall(self, name: str) -> Any | None:
        """The JSON value kept under `name`, or None."""
        try:
            return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def keep(self, name: str, value: Any) -> None:
        """Keep a JSON value. Raises EnvironmentProblem when the disk does not take it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            fresh = self.folder / f"{name}.new"
            fresh.write_text(json.dumps(value), encoding="utf-8")
            os.replace(fresh, self.folder / f"{name}.json")  # noqa: PTH105 - the atomic one, by its own name
        except OSError as error:
            raise EnvironmentProblem(f"cannot write {self.folder}: {error.strerror}", "Free disk space.") from error

    def clear(self) -> None:
        """Forget everything: the instance is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)
