"""Which runner serves a Python project, and what its tox or nox files say about it; read, never run."""

import ast
import configparser
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.errors import BadInput

PYTHON_RUNNERS = ("pytest", "unittest", "django", "sympy")
_KNOWN_COMMAND = re.compile(r"\b(py\.?test|unittest|manage\.py|runtests\.py|django-admin|bin/test|coverage run)\b")
_MANAGE_FOLDERS = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """The runner for one interpreter."""

    runner: str
    entry: str = ""
    """For Django, relative to the root."""
    notes: tuple[str, ...] = ()


def choose_runner(root: Path, has: Callable[[str], bool], wanted: str | None = None) -> Choice:
    """`has` tells whether a package is installed; `wanted` is the user's word.

    Raises:
        BadInput: `wanted` is no runner for Python, or there is nothing here that it could run.
    """
    entry = _django_entry(root)
    sympy = _is_sympy(root)
    if wanted is not None:
        if wanted not in PYTHON_RUNNERS:
            raise BadInput(f"unknown test runner '{wanted}'", f"For Python: {', '.join(PYTHON_RUNNERS)}.")
        if wanted == "django" and not entry:
            raise BadInput("the runner django needs a manage.py, and none was found", "Choose another runner.")
        if wanted == "sympy" and not sympy:
            raise BadInput("the runner sympy serves SymPy's own repository only", "Choose another runner.")
        return Choice(wanted, entry if wanted == "django" else "", ("the runner was chosen by the user",))
    if entry.endswith("runtests.py"):
        return Choice("django", entry, (f"{entry} is how Django's own tests are run",))
    if entry and has("pytest") and has("pytest_django"):
        return Choice("pytest", "", ("pytest-django is installed, so pytest runs the tests of this Django project",))
    if entry and has("django"):
        return Choice("django", entry, (f"{entry} is there and pytest-django is not, so Django's runner is used",))
    if has("pytest"):
        return Choice("pytest")
    if sympy:
        return Choice("sympy", "", ("pytest is not installed, so SymPy's own runner (bin/test) is used",))
    return Choice("unittest")


def declared_commands(root: Path, runner: str) -> tuple[str, ...]:
    """What tox.ini or noxfile.py would run, as sentences: the same tests run here, without tox or nox."""
    sentences: list[str] = []
    for file, commands in (("tox.ini", _tox_commands(root)), ("noxfile.py", _nox_commands(root))):
        shown = next((command for command in commands if _KNOWN_COMMAND.search(command)), None)
        tool = file.partition(".")[0].removesuffix("file")
        if shown is not None:
            sentences.append(
                f"{file} runs `{shown[:80]}`; {runner} runs the tests here without {tool}, which would want the network"
            )
        elif commands:
            sentences.append(
                f"{file} runs `{commands[0][:80]}`, which is not known here; give it with --test to use it"
            )
    return tuple(sentences)


def _django_entry(root: Path) -> str:
    """Django's own tests/runtests.py, else the manage.py nearest to the root."""
    if (root / "tests" / "runtests.py").is_file() and (root / "django" / "__init__.py").is_file():
        return "tests/runtests.py"
    for path in _near(root, "manage.py"):
        if "execute_from_command_line" in _text(path):
            return path.relative_to(root).as_posix()
    return ""


def _near(root: Path, name: str) -> Iterator[Path]:
    """`name` in the root, and in the folders one and two below it."""
    if (root / name).is_file():
        yield root / name
    for pattern in (f"*/{name}", f"*/*/{name}"):
        for number, path in enumerate(sorted(root.glob(pattern))):
            parts = path.relative_to(root).parts[:-1]
            if number < _MANAGE_FOLDERS and not any(part.startswith(".") or part in _OTHERS for part in parts):
                yield path


_OTHERS = {"node_modules", "venv", "env", "build", "dist", "site-packages", "tests", "docs", "examples", "example"}


def _is_sympy(root: Path) -> bool:
    runners = ("sympy/testing/runtests.py", "sympy/utilities/runtests.py")
    return (root / "bin" / "test").is_file() and any((root / name).is_file() for name in runners)


def _tox_commands(root: Path) -> list[str]:
    texts = [_text(root / "tox.ini")]
    try:
        tool = tomllib.loads(_text(root / "pyproject.toml")).get("tool")
        tox = tool.get("tox") if isinstance(tool, dict) else None
        texts.append(str(tox.get("legacy_tox_ini", "")) if isinstance(tox, dict) else "")
    except (tomllib.TOMLDecodeError, RecursionError):
        pass
    commands: list[str] = []
    for text in texts:
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(text)
        except configparser.Error:
            continue
        for section in parser.sections():
            if section == "testenv" or (section.startswith("testenv:") and "lint" not in section):
                value = parser.get(section, "commands", fallback="")
                commands += [" ".join(line.split()) for line in value.replace("\\\n", " ").splitlines() if line.strip()]
    return commands


def _nox_commands(root: Path) -> list[str]:
    try:
        tree = ast.parse(_text(root / "noxfile.py"))
    except (SyntaxError, ValueError, RecursionError):
        return []
    commands: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "run":
            words = [str(a.value) for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            commands += [" ".join(words)] if words else []
    return commands


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:1_000_000] if path.is_file() else ""
    except OSError:
        return ""
