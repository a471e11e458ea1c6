"""Reads a project's files for what they ask: bounded, never outside the root, names with version bounds only."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from patchwright_engine.verify.environments.prefix import normalized

TESTING = ("test", "tests", "testing", "dev", "develop", "development", "qa", "ci")
"""Names of extras and dependency groups that hold what tests need, by custom."""
_MAX_BYTES = 16 << 20
_MAX_INCLUDED = 40


class Reader:
    """Collects requirement lines from the files of one project."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.lines: dict[str, None] = {}
        self.files: dict[str, None] = {}
        self.left_out: dict[str, None] = {}
        self.python = ""
        self.setup_py: dict[str, Any] = {}
        """Literal arguments of setup()."""

    def text(self, name: str) -> str:
        """A regular file below the root, '' when there is none; a link that leads out of it is none."""
        path = self.root / name
        try:
            if not path.is_file() or not path.resolve().is_relative_to(self.root) or path.stat().st_size > _MAX_BYTES:
                return ""
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        self.files[name] = None
        return text

    def toml(self, name: str) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text(name))
        except (tomllib.TOMLDecodeError, RecursionError):
            return {}

    def add(self, lines: object, file: str) -> None:
        """Take requirement lines; those that are more than a name with bounds are left out."""
        for line in lines if isinstance(lines, list) else []:
            if not isinstance(line, str) or not line.strip():
                continue
            try:
                requirement = Requirement(line)
            except InvalidRequirement:
                self.left_out[f"{line.strip()[:100]} ({file})"] = None
                continue
            if requirement.url is not None:
                self.left_out[f"{line.strip()[:100]} ({file})"] = None
            else:
                self.lines[str(requirement)] = None

    def requirements_file(self, name: str, depth: int = 0) -> None:
        """A pip requirements file, with those that it includes."""
        if name in self.files or depth > _MAX_INCLUDED:
            return
        text = self.text(name)
        for raw in text.replace("\\\n", " ").splitlines():
            line = re.sub(r"(^|\s)#.*", "", raw).strip()
            line = re.sub(r"\s+--hash=\S+", "", line)
            if not line:
                continue
            included = re.fullmatch(r"(?:-r|--requirement)[ =]?\s*(\S+)", line)
            if included:
                inner = (Path(name).parent / included[1]).as_posix()
                if ".." not in Path(inner).parts and not Path(inner).is_absolute():
                    self.requirements_file(inner, depth + 1)
            elif line.startswith("-"):
                self.left_out[f"{line[:100]} ({name})"] = None
            else:
                self.add([line], name)


def for_tests(table: Iterable[str]) -> list[str]:
    """Those names of extras or groups that hold what tests need."""
    return [name for name in table if normalized(name) in TESTING]


def table_of(value: object, *keys: str) -> dict[str, Any]:
    """The table below `keys`; empty where there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def string_of(value: object) -> str:
    """The value when it is text, else ''."""
    return value if isinstance(value, str) else ""
