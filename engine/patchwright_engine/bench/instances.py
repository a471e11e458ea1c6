"""Real bugs as they come in files: SWE-bench's form plus how to install the project and run its tests.

One JSON object a line. Beside SWE-bench's keys each needs `python` ("3.11"), `install_cmds` and `test_cmd`, since no
Docker image is used. Invariant: a row that cannot be worked on is an error that names its line, never skipped.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from patchwright_engine.errors import BadInput
from patchwright_engine.types import RepoPath

CURE = (
    "Give a file of SWE-bench rows, one JSON object a line, each with instance_id, repo, base_commit, patch, "
    "test_patch, FAIL_TO_PASS, problem_statement, python, install_cmds and test_cmd."
)
LOCALIZATION_CURE = (
    "Give a file of SWE-bench rows, one JSON object a line, each with instance_id, repo, base_commit, "
    "problem_statement, gold_files and gold_functions (path::Class.function)."
)
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_COMMIT = re.compile(r"[0-9a-f]{7,40}")
_VERSION = re.compile(r"3\.\d{1,2}")
_MIRROR = re.compile(r"--git-dir=\$REPOS/([A-Za-z0-9][A-Za-z0-9._+-]*)/repo\b")


@dataclass(frozen=True, slots=True)
class Instance:
    """One bug with its developer's fix and the tests that came with it."""

    instance_id: str
    repo: str
    """'owner/name'."""
    mirror: str
    """Folder of the bare mirror below the repositories' folder: 'owner+name', or that of a fork with every commit."""
    base_commit: str
    python: str
    """'3.11': the interpreter is looked for as `python3.11`."""
    install: tuple[str, ...]
    """Shell commands, in order; `VENV` is the environment's folder, `$CHECKOUT` the working directory."""
    test_command: str
    """Runs the hidden tests, from the root of the project."""
    problem: str
    patch: str
    """The developer's fix, as a git diff without tests."""
    test_patch: str
    """The developer's tests for it."""
    fail_to_pass: tuple[str, ...]
    """Tests that the fix is for. Empty: those that fail before it and pass after."""
    constraints: str = ""
    """Text of a pip constraint file for the install commands."""
    replaced: Mapping[RepoPath, str | None] = field(default_factory=dict)
    """Files of the base commit to hold another text, or (None) to be left out."""


@dataclass(frozen=True, slots=True)
class LocalizationInstance:
    """One issue and the places that its developer changed."""

    instance_id: str
    repo: str
    """'owner/name'."""
    base_commit: str
    problem: str
    gold_files: tuple[RepoPath, ...]
    gold_symbols: tuple[str, ...]
    """'path::Class.function'. Empty where only code outside functions was changed."""
    patch: str = ""
    """The developer's fix as a git diff, where the row has it: says which lines of the functions it changes."""


class _Named(Protocol):
    @property
    def instance_id(self) -> str: ...


_Row = TypeVar("_Row", bound=_Named)


def read_instances(path: Path) -> tuple[Instance, ...]:
    """The instances of a JSON lines file, in its order.

    Raises:
        BadInput: unreadable, empty, a broken row, or two rows of one id.
    """
    return _read(path, CURE, _instance)


def read_localization_instances(path: Path) -> tuple[LocalizationInstance, ...]:
    """As `read_instances`, of rows that say where the fix is and need not say how to install or test."""
    return _read(path, LOCALIZATION_CURE, _localization_instance)


def _read(path: Path, cure: str, parse: Callable[[Mapping[str, Any], str], _Row]) -> tuple[_Row, ...]:
    try:
        # Not `splitlines`: issues hold U+2028 and the like, which JSON need not escape.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read the instances in {path}: {error}", cure) from error
    instances: dict[str, _Row] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{place}: not JSON: {error}", cure) from error
        if not isinstance(row, dict):
            raise BadInput(f"{place}: not a JSON object", cure)
        instance = parse(row, place)
        if instance.instance_id in instances:
            raise BadInput(f"{place}: {instance.instance_id} is there twice", "Remove one of them.")
        instances[instance.instance_id] = instance
    if not instances:
        raise BadInput(f"{path} holds no instance", cure)
    return tuple(instances.values())


def _localization_instance(row: Mapping[str, Any], place: str) -> LocalizationInstance:
    symbols = _texts(row, "gold_functions", place, LOCALIZATION_CURE, may_be_empty=True)
    return LocalizationInstance(
        instance_id=_text(row, "instance_id", place, _IDENTIFIER, LOCALIZATION_CURE),
        repo=_text(row, "repo", place, _REPOSITORY, LOCALIZATION_CURE),
        base_commit=_text(row, "base_commit", place, _COMMIT, LOCALIZATION_CURE),
        problem=_text(row, "problem_statement", place, cure=LOCALIZATION_CURE),
        gold_files=tuple(map(RepoPath, _texts(row, "gold_files", place, LOCALIZATION_CURE))),
        gold_symbols=tuple(symbol for symbol in symbols if not symbol.endswith("::<module>")),
        patch=_text(row, "patch", place, cure=LOCALIZATION_CURE) if row.get("patch") else "",
    )


def _instance(row: Mapping[str, Any], place: str) -> Instance:
    repo = _text(row, "repo", place, _REPOSITORY)
    checkout = _MIRROR.search(str(row.get("checkout_cmd", "")))
    return Instance(
        instance_id=_text(row, "instance_id", place, _IDENTIFIER),
        repo=repo,
        mirror=checkout[1] if checkout else repo.replace("/", "+"),
        base_commit=_text(row, "base_commit", place, _COMMIT),
        python=_text(row, "python", place, _VERSION),
        install=_texts(row, "install_cmds", place),
        test_command=_text(row, "test_cmd", place),
        problem=_text(row, "problem_statement", place),
        patch=_text(row, "patch", place),
        test_patch=_text(row, "test_patch", place),
        fail_to_pass=_texts(row, "FAIL_TO_PASS", place),
        constraints=_text(row, "constraints", place) if row.get("constraints") else "",
    )


def _text(row: Mapping[str, Any], key: str, place: str, shape: re.Pattern[str] | None = None, cure: str = CURE) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BadInput(f"{place}: {key} is missing or not a text", cure)
    if shape is not None and not shape.fullmatch(value):
        raise BadInput(f"{place}: {key} is {value[:80]!r}, which does not look like one", cure)
    return value


def _texts(
    row: Mapping[str, Any], key: str, place: str, cure: str = CURE, *, may_be_empty: bool = False
) -> tuple[str, ...]:
    """A list of texts; SWE-bench's own files hold some of them as JSON inside a text."""
    value = row.get(key)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise BadInput(f"{place}: {key} is missing or not a list of texts", cure)
    if not value and not may_be_empty:
        raise BadInput(f"{place}: {key} is missing: the list is empty", cure)
    return tuple(value)
