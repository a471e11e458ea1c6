"""Which files a patch may touch at all, going by their names.

Invariant: nothing that decides whether a patch is good may be changed by it (DESIGN §3), and no path leaves
the workspace. What only the whole repository can tell is in `verify/discovery.py`.
"""

import re
from collections.abc import Set
from pathlib import PurePosixPath

from patchwright_engine.syntax.languages import names_test
from patchwright_engine.types import RepoPath

_CONFIGURATION = frozenset(
    {
        "conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "tox.ini", "setup.cfg",
        "pyproject.toml", "noxfile.py", ".coveragerc", "sitecustomize.py", "usercustomize.py", "makefile",
        "gnumakefile", "justfile", "runtests.py", "manage.py", "package.json", "pom.xml", "build.gradle",
        "build.gradle.kts", "settings.gradle", "settings.gradle.kts", "cargo.toml", "go.mod", "cmakelists.txt",
        "phpunit.xml", "phpunit.xml.dist", "composer.json", "rakefile", "gemfile", ".rspec",
    }
)  # fmt: skip
_CONFIGURATION_NAME = re.compile(
    r".*\.pth|(?:jest|vitest|vite|karma|playwright|cypress|ava|babel)\.(?:config|conf|setup)\.\w+|\.(?:mocharc|nycrc)\b.*"
)
_CI = frozenset(
    {
        ".gitlab-ci.yml", ".travis.yml", "appveyor.yml", ".appveyor.yml", "azure-pipelines.yml", "jenkinsfile",
        ".drone.yml", ".cirrus.yml", "bitbucket-pipelines.yml", ".pre-commit-config.yaml",
    }
)  # fmt: skip
_CI_FOLDERS = frozenset({".github", ".gitlab", ".circleci", ".buildkite", ".woodpecker", ".ci", ".azure-pipelines"})
_INSTALLED = frozenset({".venv", "venv", "site-packages", "node_modules", "__pycache__", ".tox", ".nox"})
_METADATA = (".egg-info", ".dist-info")
"""Folders whose entry points pytest loads as plugins."""
_TEST_NAME = re.compile(
    r"test_.*\.py|.*_tests?\.py|tests\.py|.*_test\.go|.*\.(?:test|spec)\.[cm]?[jt]sx?|.*Spec\.[jt]s"
    r"|(?:Test\w*|.*(?:Test|Tests|TestCase|IT|Spec))\.(?:java|kt|groovy|scala)",
)
_TEST_FOLDERS = frozenset({"tests", "__tests__", "__snapshots__"})


def is_judging_file(path: str) -> str | None:
    """Why a file takes part in judging patches, in words; None if it does not."""
    return configures(path) or tests(path)


def configures(path: str) -> str | None:
    """Why a file, there already or new, decides which tests run and how, in words; None if it does not."""
    parts = PurePosixPath(path.lower()).parts
    name = parts[-1] if parts else ""
    if name in _CONFIGURATION or _CONFIGURATION_NAME.fullmatch(name):
        return f"{path} configures how tests run"
    if name in _CI or _CI_FOLDERS & set(parts[:-1]):
        return f"{path} belongs to continuous integration"
    if _INSTALLED & set(parts[:-1]) or any(part.endswith(_METADATA) for part in parts[:-1]):
        return f"{path} belongs to what is installed"
    if name.startswith(("test_patchwright_", "patchwright_", ".patchwright-")):
        return f"{path} has a name that the test runs use themselves"
    return None


def tests(path: str) -> str | None:
    """Why a file is test material, in words: tests, and what lies in a folder of tests; None if it is not.

    Helpers and expected output judge as much as the tests do. A folder `test` counts at the top only, or as Java
    has it: deeper it is often the product (`django/test`).
    """
    parts = PurePosixPath(path.lower()).parts
    folders = parts[:-1]
    if _TEST_FOLDERS & set(folders) or folders[:1] == ("test",) or folders[:2] == ("src", "test"):
        return f"{path} lies in a test folder"
    name = PurePosixPath(path).name
    if _TEST_NAME.fullmatch(name) or _TEST_NAME.fullmatch(name.lower()) or names_test(RepoPath(path)):
        return f"{path} is a test file"
    return None


def escapes(path: str) -> str | None:
    """Why a path is none of a repository's files, in words; None if it may be one."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith(("/", "~")) or ".." in parts or "\\" in path or ":" in parts[0]:
        return f"{path} is not a path inside the repository"
    if ".git" in (part.lower() for part in parts):
        return f"{path} belongs to git"
    return None


def forbidden(path: str, allowed: Set[RepoPath] | None) -> str | None:
    """Why a patch may not touch `path`, in words; None if it may."""
    reason = escapes(path)
    if reason is None and allowed is not None and path not in allowed:
        return f"{path} is not among the files of this task"
    return reason or is_judging_file(path)
