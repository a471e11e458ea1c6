"""Which files are tests, which of them a patch most likely touches, and which files judge the tests.

Only names, the project's own pytest settings, the import graph and what earlier runs saw are used: no test is
imported or run here.
"""

import re
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from patchwright_engine.errors import StaleSnapshot
from patchwright_engine.repair.guards import configures, escapes, tests
from patchwright_engine.types import Patch, RepoPath, Snapshot
from patchwright_engine.verify.habits import Habits, habits_of
from patchwright_engine.verify.history import History, SeenTest

_TEST_NAME = re.compile(r"(?:(?:unit)?test_.*|.*_tests?|tests)\.py")
_EXAMPLES = {"doc", "docs", "example", "examples"}
_TEST_NAMES = {
    "python": _TEST_NAME,
    "javascript": re.compile(r"(?:.*[._-](?:test|spec)|test|test-.*)\.[cm]?[jt]sx?|.*Spec\.[jt]s"),
    "go": re.compile(r".*_test\.go"),
    "java": re.compile(r"(?:Test\w*|\w+(?:Test|Tests|TestCase|IT|Spec))\.(?:java|kt|groovy|scala)"),
}
"""By the habits of pytest and unittest; node --test, vitest, jest and jasmine; go test; Surefire and Gradle."""
_RUST_TEST = re.compile(r"#\[(?:cfg\(test\)|(?:\w+::)*test\b)")
_MAYBE_TESTS = re.compile(r"tests?.*\.py")
"""What the runners of unittest (test*.py) and Django (it too, by custom tests*.py) look into; so are many helpers."""
_TEST_METHOD = re.compile(r"^[ \t]+(?:async )?def test\w*\(\s*self\b", re.MULTILINE)
_PRINTED = re.compile(r"\b(\w+) \((\w+(?:\.\w+)+)\)")
_READ_BYTES = 1 << 20
_TEST_TOOLS = frozenset(
    {
        "_pytest", "attr", "attrs", "coverage", "exceptiongroup", "execnet", "hypothesis", "iniconfig", "mock", "nose",
        "nose2", "packaging", "pluggy", "py", "pygments", "pytest", "tomli", "xdist",
    }
)  # fmt: skip
"""Beside the standard library: what the test runners import."""


def is_test_file(path: RepoPath, language: str = "python", habits: Habits | None = None) -> bool:
    """Whether the runners of `language` would look for tests in it, going by its name and folder.

    For Python the names that the project's own settings give come first, where there are any.
    """
    place = PurePosixPath(path)
    if language == "rust":  # tests/ holds one test program a file; unit tests lie beside the code
        return place.suffix == ".rs" and place.parent.name == "tests"
    names = _TEST_NAMES[language]
    if language == "javascript" and place.parent.name in {"__tests__", "test"}:
        return bool(re.fullmatch(r"\.[cm]?[jt]sx?", place.suffix)) and not place.name.endswith(".d.ts")
    if language == "python" and habits is not None and habits.python_files:
        return place.suffix == ".py" and habits.names(path)
    return bool(names.fullmatch(place.name))


def find_test_files(snapshot: Snapshot, language: str = "python") -> tuple[RepoPath, ...]:
    """Every file of the snapshot with tests of `language`, in order of path.

    For Rust those with tests inside too, and for Python, where the project sets no names, those with test methods
    whose names unittest and Django would take. The folders that its settings name bound the search, if any is there.
    """
    habits = habits_of(snapshot) if language == "python" else Habits()
    if language == "python":
        found = {path for path in snapshot.files if _is_python_test(path, snapshot, habits)}
    else:
        found = {path for path in snapshot.files if is_test_file(path, language, habits)}
    if language == "rust":
        found |= {path for path in snapshot.files if path.endswith(".rs") and _holds(_RUST_TEST, snapshot, path)}
    inside = {path for path in found if habits.looks_into(path)}
    return tuple(sorted(inside or found))


def tests_among(paths: Iterable[str], snapshot: Snapshot) -> tuple[RepoPath, ...]:
    """Those of `paths` that are test files of Python here, in their order, by the project's own habits.

    What a selection names beside them are modules, run for the examples in their docstrings.
    """
    habits = habits_of(snapshot)
    known = (RepoPath(path) for path in paths if path in snapshot.files)
    return tuple(path for path in known if _is_python_test(path, snapshot, habits))


def _is_python_test(path: RepoPath, snapshot: Snapshot, habits: Habits) -> bool:
    if is_test_file(path, habits=habits):
        return True
    named = not habits.python_files and _MAYBE_TESTS.fullmatch(PurePosixPath(path).name)
    return bool(named) and _holds(_TEST_METHOD, snapshot, path)


def _holds(pattern: re.Pattern[str], snapshot: Snapshot, path: RepoPath) -> bool:
    try:
        return bool(pattern.search(snapshot.read_text(path)[:_READ_BYTES]))
    except (OSError, StaleSnapshot):
        return False


def refused_paths(patch: Patch, snapshot: Snapshot) -> dict[RepoPath, str]:
    """The edits that a candidate may not make, each with the reason in words.

    Refused are existing test material, whatever decides which tests run and how, new files that would be imported
    in place of others, and paths that leave the repository, all of it also by way of links. New tests are allowed.
    """
    habits = habits_of(snapshot)
    reasons = {path: _objection(path, patch, snapshot, habits) for path in patch.paths}
    return {path: reason for path, reason in reasons.items() if reason is not None}


def _objection(path: RepoPath, patch: Patch, snapshot: Snapshot, habits: Habits) -> str | None:
    reason = escapes(path)
    if reason is not None:
        return reason
    root = snapshot.root.resolve()
    real = (root / path).resolve()
    if not real.is_relative_to(root):
        return f"{path} leads out of the repository"
    for name in dict.fromkeys((path, RepoPath(real.relative_to(root).as_posix()))):
        reason = escapes(name) or configures(name)
        new_test = name not in snapshot.files and (is_test_file(name) or is_test_file(name, habits=habits))
        if reason is None and not new_test:
            reason = tests(name) or (f"{name} is a test file" if habits.claims(name) else None)
        if reason is not None:
            return reason if name == path else f"{path} is a link: {reason}"
    return _shadows(path, patch, snapshot)


def _shadows(path: RepoPath, patch: Patch, snapshot: Snapshot) -> str | None:
    """Why a new module would be imported in place of another one, in words; None if it is not new or would not."""
    if path in snapshot.files or not path.endswith(".py"):
        return None
    packages = {PurePosixPath(name).parent for name in (*snapshot.files, *patch.paths) if name.endswith("__init__.py")}
    place = PurePosixPath(path).with_suffix("")
    if place.name == "__init__":
        place = place.parent
        if f"{place}.py" in snapshot.files:
            return f"{path} would be imported in place of {place}.py"
    while place.parent in packages and place.parent != PurePosixPath():
        place = place.parent
    known = f"{place}.py" in snapshot.files or any(name.startswith(f"{place}/") for name in snapshot.files)
    taken = place.name in sys.stdlib_module_names or place.name in _TEST_TOOLS or place.name.startswith("pytest_")
    return f"{path} would be imported in place of the module {place.name}" if taken and not known else None


def named_tests(command: str, snapshot: Snapshot) -> tuple[RepoPath, ...]:
    """The test files that a user's test command names: as paths, as test ids, or as dotted names (unittest, Django)."""
    return tuple(dict.fromkeys(RepoPath(name.partition("::")[0]) for name in named_selection(command, snapshot)))


def named_selection(command: str, snapshot: Snapshot) -> tuple[str, ...]:
    """What a user's test command names, as ids that every runner takes: `path`, or `path::Class::method`.

    A test may also be named as unittest prints it: 'test_it (tests.test_module.Class)'.
    """
    try:
        words = shlex.split(_PRINTED.sub(_as_dotted, command))
    except ValueError:  # An unclosed quote: the shell will say so.
        return ()
    habits = habits_of(snapshot)
    named: dict[str, None] = {}
    for word in (word.removeprefix("./") for word in words):
        path = RepoPath(word.partition("::")[0])
        is_test = is_test_file(path) or is_test_file(path, habits=habits)
        if path in snapshot.files and ("::" in word or is_test):
            named[word] = None
        elif re.fullmatch(r"[A-Za-z_]\w*(?:\.\w+)+", word) and "/" not in word:
            named.update(dict.fromkeys(_dotted(word, snapshot)))
    return tuple(named)


def _as_dotted(printed: re.Match[str]) -> str:
    """The dotted name in what unittest prints of a test; from Python 3.11 on it repeats the method behind the class."""
    method, place = printed.groups()
    return place if place.endswith(f".{method}") else f"{place}.{method}"


def _dotted(name: str, snapshot: Snapshot) -> tuple[str, ...]:
    """Module, class or method `name` in the test files that it may mean, seen from the root or a folder of tests."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = "/".join(parts[:length]) + ".py"
        found = tuple(p for p in snapshot.files if (p == module or p.endswith(f"/{module}")) and is_test_file(p))
        if found:
            return tuple("::".join([path, *parts[length:]]) for path in found)
    return ()


def select_regression_tests(
    snapshot: Snapshot,
    changed: Sequence[RepoPath],
    importers: Callable[[RepoPath], tuple[RepoPath, ...]],
    limit: int,
    *,
    history: History | None = None,
    language: str = "python",
) -> tuple[RepoPath, ...]:
    """Up to `limit` test files of `language`, those most likely to touch `changed` first.

    Nearness: tests importing a changed file, or seen to enter one, then tests importing an importer of it. Among
    equals those that last caught a wrong patch come first, then likeness of names, then the folder they share; the
    remaining tests follow in order of path. Examples in documentation come after tests.
    """
    direct, indirect = _importing(changed, importers)
    seen = history or {}
    unknown = SeenTest("")

    def rank(test: RepoPath) -> tuple[int, bool, float, float, RepoPath]:
        known = seen.get(test, unknown)
        covers = test in direct or known.covers(changed, snapshot.files.get(test))
        nearness = 0 if covers else 1 if test in indirect else 2
        likeness = max((_likeness(test, path) for path in changed), default=0.0)
        return nearness, _is_example(test), -known.caught, -likeness, test

    return tuple(sorted(find_test_files(snapshot, language), key=rank)[:limit])


def _is_example(test: RepoPath) -> bool:
    return bool(_EXAMPLES & set(PurePosixPath(test).parts[:-1]))


def _importing(
    changed: Sequence[RepoPath], importers: Callable[[RepoPath], tuple[RepoPath, ...]]
) -> tuple[set[RepoPath], set[RepoPath]]:
    direct = {importer for path in changed for importer in importers(path)}
    indirect = {importer for path in direct for importer in importers(path)}
    return direct, indirect


def _likeness(test: RepoPath, changed: RepoPath) -> float:
    name = PurePosixPath(test).name.partition(".")[0]
    stem = re.sub(r"^tests?[_-]|[_-](?:tests?|spec)$|^Test|(?:Tests?|TestCase|IT|Spec)$", "", name)
    target = PurePosixPath(changed)
    target_stem = target.parent.name if target.stem == "__init__" else target.stem
    shared = len(set(PurePosixPath(test).parts[:-1]) & set(target.parts[:-1]))
    if stem == target_stem:
        return 2.0 + shared / 100
    words, target_words = set(stem.split("_")), set(target_stem.strip("_").split("_"))
    overlap = len(words & target_words) / max(1, len(words | target_words))
    return overlap + shared / 100
