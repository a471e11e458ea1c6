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


def test_a_dotted_name_of_another_language_means_its_file() -> None:
    modules = ModuleMap(
        RepoPath(path) for path in ("src/main/java/com/shop/Cart.java", "com/shop/tool.py", "web/a/b.js")
    )
    assert modules.files_of("com.shop.Cart") == ("src/main/java/com/shop/Cart.java",)
    assert modules.files_of("com.shop.tool") == ("com/shop/tool.py",)
    assert modules.files_of("a.b") == ()


def test_an_import_of_python_means_no_file_of_another_language() -> None:
    modules = ModuleMap(RepoPath(path) for path in ("com/shop/Cart.java", "run.py"))
    assert modules.targets(RepoPath("run.py"), Import("com.shop.Cart", ("x",), 1)) == ()


def test_an_import_that_could_mean_two_places_means_none() -> None:
    files = [RepoPath(path) for path in ("one/util/date.ts", "two/util/date.ts", "one/app/main.ts", "main.ts")]
    modules = ModuleMap(files)
    assert modules.targets(RepoPath("main.ts"), Import("@/util/date", (), 1)) == ()
    assert modules.targets(RepoPath("one/app/main.ts"), Import("@/util/date", (), 1)) == ("one/util/date.ts",)


def test_a_folder_too_large_to_say_anything_is_not_brought_in() -> None:
    many = [RepoPath(f"gen/f{number}.go") for number in range(100)]
    modules = ModuleMap([*many, RepoPath("main.go"), RepoPath("few/a.go")])
    assert modules.targets(RepoPath("main.go"), Import("example.com/x/gen", (), 1)) == ()
    assert modules.targets(RepoPath("main.go"), Import("example.com/x/few", (), 1)) == ("few/a.go",)
