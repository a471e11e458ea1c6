"""Which files are tests, which of them a patch most likely touches, and which files judge the tests.

Only names and the import graph are used: no test is imported or run here.
"""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from patchwright_engine.types import Patch, RepoPath, Snapshot

_TEST_NAME = re.compile(r"(?:(?:unit)?test_.*|.*_tests?|tests)\.py")
_JUDGES = {
    "conftest.py",
    "pytest.ini",
    ".pytest.ini",
    "pytest.toml",
    ".pytest.toml",
    "tox.ini",
    "setup.cfg",
    "pyproject.toml",
    "noxfile.py",
    "sitecustomize.py",
    "usercustomize.py",
    "Makefile",
    ".coveragerc",
}
"""Files that decide which tests run and how; a candidate that edits one could pass by switching tests off."""
_EXAMPLES = {"doc", "docs", "example", "examples"}
_JUDGING_FOLDERS = (".github/", ".gitlab/", ".circleci/", ".venv/", "venv/")


def is_test_file(path: RepoPath) -> bool:
    """Whether pytest or unittest would look for tests in it, going by its name."""
    return bool(_TEST_NAME.fullmatch(PurePosixPath(path).name))


def find_test_files(snapshot: Snapshot) -> tuple[RepoPath, ...]:
    """Every test file of the snapshot, in order of path."""
    return tuple(sorted(path for path in snapshot.files if is_test_file(path)))


def refused_paths(patch: Patch, snapshot: Snapshot) -> tuple[RepoPath, ...]:
    """Those edits that a candidate may not make: existing test material, and what the runs use to judge it."""
    return tuple(path for path in patch.paths if _judges(path) or (path in snapshot.files and _is_test_material(path)))


def _judges(path: RepoPath) -> bool:
    name = PurePosixPath(path).name
    return name in _JUDGES or name.endswith(".pth") or path.startswith(_JUDGING_FOLDERS) or name == ".gitlab-ci.yml"


def _is_test_material(path: RepoPath) -> bool:
    """Tests, and whatever lies in a folder of tests: helpers and expected output judge as much as the tests do.

    A folder `test` counts at the top only: deeper it is often the product (`django/test`).
    """
    folders = PurePosixPath(path).parts[:-1]
    return is_test_file(path) or "tests" in folders or folders[:1] == ("test",)


def named_tests(command: str, snapshot: Snapshot) -> tuple[RepoPath, ...]:
    """The test files that a user's test command names: as paths, as test ids, or as dotted names (unittest, Django)."""
    try:
        words = shlex.split(command)
    except ValueError:  # An unclosed quote: the shell will say so.
        return ()
    named: dict[RepoPath, None] = {}
    for word in words:
        path = RepoPath(word.partition("::")[0].removeprefix("./"))
        if path in snapshot.files and ("::" in word or is_test_file(path)):
            named[path] = None
        elif re.fullmatch(r"[A-Za-z_]\w*(?:\.\w+)+", word) and "/" not in word:
            named.update(dict.fromkeys(_dotted(word, snapshot)))
    return tuple(named)


def _dotted(name: str, snapshot: Snapshot) -> tuple[RepoPath, ...]:
    """The test files of module, class or method `name`, seen from the root or from a folder of tests."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = "/".join(parts[:length]) + ".py"
        found = tuple(p for p in snapshot.files if (p == module or p.endswith(f"/{module}")) and is_test_file(p))
        if found:
            return found
    return ()


def select_regression_tests(
    snapshot: Snapshot,
    changed: Sequence[RepoPath],
    importers: Callable[[RepoPath], tuple[RepoPath, ...]],
    limit: int,
) -> tuple[RepoPath, ...]:
    """Up to `limit` test files, those most likely to touch `changed` first.

    Nearness: tests importing a changed file, tests importing an importer of it, then likeness of names, then
    the folder they share; the remaining tests follow in order of path. Examples in documentation come after tests.
    """
    direct, indirect = _importing(changed, importers)

    def rank(test: RepoPath) -> tuple[int, bool, float, RepoPath]:
        nearness = 0 if test in direct else 1 if test in indirect else 2
        return nearness, _is_example(test), -max((_likeness(test, path) for path in changed), default=0.0), test

    return tuple(sorted(find_test_files(snapshot), key=rank)[:limit])


def _is_example(test: RepoPath) -> bool:
    return bool(_EXAMPLES & set(PurePosixPath(test).parts[:-1]))


def _importing(
    changed: Sequence[RepoPath], importers: Callable[[RepoPath], tuple[RepoPath, ...]]
) -> tuple[set[RepoPath], set[RepoPath]]:
    direct = {importer for path in changed for importer in importers(path)}
    indirect = {importer for path in direct for importer in importers(path)}
    return direct, indirect


def _likeness(test: RepoPath, changed: RepoPath) -> float:
    stem = re.sub(r"^test_|_tests?$", "", PurePosixPath(test).stem)
    target = PurePosixPath(changed)
    target_stem = target.parent.name if target.stem == "__init__" else target.stem
    shared = len(set(PurePosixPath(test).parts[:-1]) & set(target.parts[:-1]))
    if stem == target_stem:
        return 2.0 + shared / 100
    words, target_words = set(stem.split("_")), set(target_stem.strip("_").split("_"))
    overlap = len(words & target_words) / max(1, len(words | target_words))
    return overlap + shared / 100
