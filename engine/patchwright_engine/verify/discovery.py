"""Which files are tests, which of them a patch most likely touches, and which files judge the tests.

Only names and the import graph are used: no test is imported or run here.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from patchwright_engine.types import Patch, RepoPath, Snapshot

_TEST_NAME = re.compile(r"(?:test_.*|.*_tests?|tests)\.py")
_TEST_NAMES = {
    "python": _TEST_NAME,
    "javascript": re.compile(r"(?:.*[._-](?:test|spec)|test|test-.*)\.[cm]?[jt]sx?|.*Spec\.[jt]s"),
    "go": re.compile(r".*_test\.go"),
    "java": re.compile(r"(?:Test\w*|\w+(?:Test|Tests|TestCase|IT|Spec))\.(?:java|kt|groovy|scala)"),
}
"""By the habits of pytest and unittest; node --test, vitest, jest and jasmine; go test; Surefire and Gradle."""
_RUST_TEST = re.compile(r"#\[(?:cfg\(test\)|(?:\w+::)*test\b)")
_MAX_RUST_BYTES = 1 << 20
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
_OTHER_JUDGES = re.compile(
    r"package\.json|(?:jest|vitest|vite|babel|karma|ava)\.config\.\w+|\.(?:babel|mocha|taprc|npm)rc.*|tsconfig.*\.json"
    r"|pom\.xml|(?:build|settings)\.gradle(?:\.kts)?|Cargo\.toml|go\.mod|manage\.py|runtests\.py"
)
"""The same for other languages and for Django."""
_JUDGING_FOLDERS = (".github/", ".gitlab/", ".circleci/", ".venv/", "venv/")


def is_test_file(path: RepoPath, language: str = "python") -> bool:
    """Whether the runners of `language` would look for tests in it, going by its name and folder."""
    place = PurePosixPath(path)
    if language == "rust":  # tests/ holds one test program a file; unit tests lie beside the code
        return place.suffix == ".rs" and place.parent.name == "tests"
    names = _TEST_NAMES[language]
    if language == "javascript" and place.parent.name in {"__tests__", "test"}:
        return bool(re.fullmatch(r"\.[cm]?[jt]sx?", place.suffix)) and not place.name.endswith(".d.ts")
    return bool(names.fullmatch(place.name))


def find_test_files(snapshot: Snapshot, language: str = "python") -> tuple[RepoPath, ...]:
    """Every file of the snapshot with tests of `language`, in order of path; for Rust those with tests inside too."""
    found = {path for path in snapshot.files if is_test_file(path, language)}
    if language == "rust":
        found |= {path for path in snapshot.files if path.endswith(".rs") and _holds_rust_tests(snapshot, path)}
    return tuple(sorted(found))


def _holds_rust_tests(snapshot: Snapshot, path: RepoPath) -> bool:
    try:
        return bool(_RUST_TEST.search(snapshot.read_text(path)[:_MAX_RUST_BYTES]))
    except OSError:
        return False


def refused_paths(patch: Patch, snapshot: Snapshot) -> tuple[RepoPath, ...]:
    """Those edits that a candidate may not make: existing test material, and what the runs use to judge it."""
    return tuple(path for path in patch.paths if _judges(path) or (path in snapshot.files and _is_test_material(path)))


def _judges(path: RepoPath) -> bool:
    name = PurePosixPath(path).name
    if name in _JUDGES or name.endswith(".pth") or name == ".gitlab-ci.yml" or _OTHER_JUDGES.fullmatch(name):
        return True
    return path.startswith(_JUDGING_FOLDERS)


def _is_test_material(path: RepoPath) -> bool:
    """Tests, and whatever lies in a folder of tests: helpers and expected output judge as much as the tests do.

    A folder `test` counts at the top only: deeper it is often the product (`django/test`).
    """
    folders = PurePosixPath(path).parts[:-1]
    if any(is_test_file(path, language) for language in (*_TEST_NAMES, "rust")):
        return True
    return (
        bool({"tests", "__tests__", "__snapshots__"} & set(folders))
        or folders[:1] in {("test",), ("spec",)}
        or (folders[:2] == ("src", "test"))
    )


def select_regression_tests(
    snapshot: Snapshot,
    changed: Sequence[RepoPath],
    importers: Callable[[RepoPath], tuple[RepoPath, ...]],
    limit: int,
    language: str = "python",
) -> tuple[RepoPath, ...]:
    """Up to `limit` test files of `language`, those most likely to touch `changed` first.

    Nearness: tests importing a changed file, tests importing an importer of it, then likeness of names, then
    the folder they share; the remaining tests follow in order of path.
    """
    direct, indirect = _importing(changed, importers)

    def rank(test: RepoPath) -> tuple[int, float, RepoPath]:
        nearness = 0 if test in direct else 1 if test in indirect else 2
        return nearness, -max((_likeness(test, path) for path in changed), default=0.0), test

    return tuple(sorted(find_test_files(snapshot, language), key=rank)[:limit])


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
