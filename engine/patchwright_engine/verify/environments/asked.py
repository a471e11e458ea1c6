"""What a project asks of its environment: Python versions, dependencies, those of its tests, and its pinned versions.

Read from pyproject.toml, setup.cfg, setup.py (literals only), requirements files, Pipfile and the lock files; a file
that cannot be read is skipped. Invariant: only names with version bounds come out. An address, a path, an index or
any other option that a file of the repository contains is left out and named in `left_out`.
"""

import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from patchwright_engine.verify.environments.locks import locked_versions
from patchwright_engine.verify.environments.poetry_tables import poetry_bounds, poetry_lines
from patchwright_engine.verify.environments.prefix import normalized
from patchwright_engine.verify.environments.reading import Reader, for_tests, string_of, table_of
from patchwright_engine.verify.environments.setup_files import read_setup_cfg, read_setup_py

_REQUIREMENTS = ("requirements.txt", "requirements/base.txt")
_FOR_TESTS = (
    *("requirements-test.txt", "requirements-tests.txt", "requirements_test.txt", "test-requirements.txt"),
    *("test_requirements.txt", "requirements/test.txt", "requirements/tests.txt", "requirements/testing.txt"),
    *("tests/requirements.txt", "tests/requirements/py3.txt"),
)
_FOR_DEVELOPMENT = (
    *("requirements-dev.txt", "requirements_dev.txt", "dev-requirements.txt", "requirements/dev.txt"),
    "requirements/development.txt",
)
"""Read only where none is for tests alone: linters and typecheckers pin what nothing here needs."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A project's wishes. Requirements are PEP 508 lines without addresses."""

    python: str = ""
    """Version bounds such as '>=3.9,<4'; '' when it names none."""
    requirements: tuple[str, ...] = ()
    """Of the project and of its tests."""
    pins: tuple[str, ...] = ()
    """`name==version` from a lock file."""
    files: tuple[str, ...] = ()
    """Those read, relative to the root."""
    left_out: tuple[str, ...] = ()
    """Lines that name an address, a path or an option, each with its file."""
    name: str = ""
    version: str = ""
    """Of the project, when its files say it literally."""
    entry_points: tuple[str, ...] = ()
    """Lines of an entry_points.txt: scripts and plugins that the project offers."""
    compiled: str = ""
    """Why the project has parts that must be built; '' when it is pure Python as far as its files tell."""

    def allows(self, version: str) -> bool:
        """Whether an interpreter of this version suits; an unknown version does."""
        if not self.python or not version:
            return True
        try:
            return SpecifierSet(self.python).contains(_full(version), prereleases=True)
        except (InvalidSpecifier, InvalidVersion):
            return True

    def missing(self, present: frozenset[str], version: str) -> tuple[str, ...]:
        """Names of required distributions that are not among `present`, for a Python of this version."""
        absent: dict[str, None] = {}
        for line in self.requirements:
            requirement = Requirement(line)
            if _applies(requirement, version) and normalized(requirement.name) not in present:
                absent[requirement.name] = None
        return tuple(absent)


def what_is_asked(root: Path) -> Asked:
    """Read the project's files. Nothing is executed, and no file outside `root` is opened."""
    reader = Reader(root)
    project = reader.toml("pyproject.toml")
    _read_pyproject(project, reader)
    read_setup_cfg(reader)
    read_setup_py(reader)
    testing = [name for name in _FOR_TESTS if (root / name).is_file()]
    for name in (*_REQUIREMENTS, *(testing or _FOR_DEVELOPMENT)):
        reader.requirements_file(name)
    _read_pipfile(reader)
    pins = locked_versions(reader)
    return Asked(
        python=reader.python,
        requirements=tuple(reader.lines),
        pins=pins,
        files=tuple(reader.files),
        left_out=tuple(reader.left_out),
        name=_identity(project, reader)[0],
        version=_identity(project, reader)[1],
        entry_points=tuple(_entry_points(project)),
        compiled=_compiled(root, project, reader),
    )


def _read_pyproject(project: dict[str, Any], reader: Reader) -> None:
    file = "pyproject.toml"
    table = table_of(project, "project")
    reader.python = str(table.get("requires-python") or "")
    reader.add(table.get("dependencies"), file)
    extras = table_of(table, "optional-dependencies")
    for name in for_tests(extras):
        reader.add(_without_self(extras[name], str(table.get("name", ""))), file)
    groups = table_of(project, "dependency-groups")
    for name in for_tests(groups):
        reader.add(list(_group(groups, name, set())), file)
    pdm = table_of(project, "tool", "pdm", "dev-dependencies")
    for name in for_tests(pdm):
        reader.add(pdm[name], file)
    reader.add(table_of(project, "tool", "uv").get("dev-dependencies"), file)
    for environment in table_of(project, "tool", "hatch", "envs").values():
        if isinstance(environment, dict):
            reader.add(environment.get("dependencies"), file)
            reader.add(environment.get("extra-dependencies"), file)
    poetry = table_of(project, "tool", "poetry")
    groups = table_of(poetry, "group")
    tables = [table_of(poetry, "dependencies"), table_of(poetry, "dev-dependencies")]
    tables += [table_of(groups, name, "dependencies") for name in for_tests(groups)]
    for table in tables:
        python = table.get("python")
        if isinstance(python, str) and not reader.python:
            reader.python = poetry_bounds(python)
        reader.add([line for line in poetry_lines(table) if line], file)


def _read_pipfile(reader: Reader) -> None:
    pipfile = reader.toml("Pipfile")
    version = table_of(pipfile, "requires").get("python_version")
    if isinstance(version, str) and re.fullmatch(r"\d+(\.\d+)+", version):
        reader.python = reader.python or f"=={version}.*"
    for section in ("packages", "dev-packages"):
        reader.add([line for line in poetry_lines(table_of(pipfile, section)) if line], "Pipfile")


def _identity(project: dict[str, Any], reader: Reader) -> tuple[str, str]:
    """(name, version) of the project, '' for what its files do not say literally."""
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(reader.text("setup.cfg"))
    except configparser.Error:
        parser.clear()
    metadata = dict(parser.items("metadata")) if parser.has_section("metadata") else {}
    tables = (table_of(project, "project"), table_of(project, "tool", "poetry"), metadata, reader.setup_py)
    names = [str(table.get("name") or "") for table in tables]
    name = next((found for found in names if re.fullmatch(r"[A-Za-z0-9](?:[\w.-]{,98}[A-Za-z0-9])?", found)), "")
    for table in tables:
        try:
            return name, str(Version(str(table.get("version"))))
        except InvalidVersion:
            continue
    return name, ""


def _entry_points(project: dict[str, Any]) -> Iterator[str]:
    table = table_of(project, "project")
    groups = {"console_scripts": table_of(table, "scripts"), **table_of(table, "entry-points")}
    for group, entries in groups.items():
        lines = [f"{name} = {value}" for name, value in table_of(entries).items() if isinstance(value, str)]
        lines = [line for line in lines if re.fullmatch(r"[\w.:\[\], -]+ = [\w.:\[\], -]+", line)]
        if lines and re.fullmatch(r"[\w.-]+", group):
            yield f"[{group}]"
            yield from lines


def _compiled(root: Path, project: dict[str, Any], reader: Reader) -> str:
    backend = string_of(table_of(project, "build-system").get("build-backend"))
    for name in ("maturin", "mesonpy", "scikit_build_core", "setuptools_rust"):
        if backend.startswith(name):
            return f"its build backend is {backend}"
    if (root / "setup.py").is_file() and re.search(r"\bext_modules\s*=|\bcythonize\(", reader.text("setup.py")):
        return "setup.py builds extension modules"
    return ""


def _group(groups: dict[str, Any], name: str, seen: set[str]) -> Iterator[str]:
    """The lines of a dependency group with those it includes (PEP 735)."""
    if name in seen or not isinstance(groups.get(name), list):
        return
    seen.add(name)
    for entry in groups[name]:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict) and isinstance(entry.get("include-group"), str):
            yield from _group(groups, entry["include-group"], seen)


def _without_self(lines: object, name: str) -> list[Any]:
    """An extra may name the project itself to include another extra; that is nothing to install."""
    own = normalized(name)
    return [
        line
        for line in (lines if isinstance(lines, list) else [])
        if not (
            isinstance(line, str) and own and normalized(re.split(r"[\[ ;<>=!~]", line.strip(), maxsplit=1)[0]) == own
        )
    ]


def _applies(requirement: Requirement, version: str) -> bool:
    if requirement.marker is None:
        return True
    environment = {"extra": ""}
    if version:
        environment |= {"python_version": ".".join(version.split(".")[:2]), "python_full_version": _full(version)}
    try:
        return requirement.marker.evaluate(environment)
    except UndefinedEnvironmentName:
        return True


def _full(version: str) -> str:
    return version if version.count(".") >= 2 else f"{version}.99"
