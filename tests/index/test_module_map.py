"""Imports resolve to files of the workspace, by text alone."""

import pytest

from patchwright_engine.index.graph import ModuleMap
from patchwright_engine.syntax.parse import Import
from patchwright_engine.types import RepoPath

MODULES = ModuleMap(
    RepoPath(path)
    for path in (
        "lib/pkg/__init__.py",
        "lib/pkg/core.py",
        "lib/pkg/sub/__init__.py",
        "lib/pkg/sub/deep.py",
        "scripts/tool.py",
        "setup.py",
    )
)
DEEP = RepoPath("lib/pkg/sub/deep.py")


@pytest.mark.parametrize(
    ("item", "targets"),
    [
        (Import("pkg.core", ("x",), 1), ("lib/pkg/core.py",)),
        (Import("pkg", ("core",), 1), ("lib/pkg/__init__.py", "lib/pkg/core.py")),
        (Import("..core", ("x",), 1), ("lib/pkg/core.py",)),
        (Import("..", ("core",), 1), ("lib/pkg/__init__.py", "lib/pkg/core.py")),
        (Import(".", ("y",), 1), ("lib/pkg/sub/__init__.py",)),
        (Import("os.path", (), 1), ()),
        (Import("scripts.tool", (), 1), ("scripts/tool.py",)),
        (Import(".......", ("a",), 1), ()),
    ],
)
def test_an_import_finds_its_files(item: Import, targets: tuple[str, ...]) -> None:
    assert MODULES.targets(DEEP, item) == targets


def test_the_module_name_is_the_one_users_import() -> None:
    assert MODULES.module_of(DEEP) == "pkg.sub.deep"
    assert MODULES.module_of(RepoPath("lib/pkg/__init__.py")) == "pkg"
