"""Names in model answers: real paths and symbols only, however they are dressed up."""

import pytest

from patchwright_engine.search.locate import parse_symbols_named
from patchwright_engine.search.nearby_tests import Excerpt
from patchwright_engine.search.reproduce import import_lines, module_name
from patchwright_engine.search.understand import parse_paths
from patchwright_engine.types import RepoPath, Symbol

KNOWN = frozenset(RepoPath(p) for p in ("src/pkg/a.py", "src/pkg/b.py", "tests/a.py", "setup.py"))


@pytest.mark.parametrize(
    ("answer", "paths"),
    [
        ("src/pkg/a.py\nsrc/pkg/b.py", ("src/pkg/a.py", "src/pkg/b.py")),
        ("1. `src/pkg/b.py` - holds the parser", ("src/pkg/b.py",)),
        ("./setup.py", ("setup.py",)),
        ("pkg/a.py", ("src/pkg/a.py",)),
        ("a.py", ()),  # two files end so: no guess
        ("b.py and b.py", ("src/pkg/b.py",)),
        ("src/pkg/missing.py", ()),
        ("I cannot tell.", ()),
    ],
)
def test_paths(answer: str, paths: tuple[str, ...]) -> None:
    assert parse_paths(answer, KNOWN) == paths


def symbol(path: str, name: str, kind: str = "function") -> Symbol:
    return Symbol(RepoPath(path), name, kind, 1, 5)


SUSPECTS = [
    symbol("src/pkg/a.py", "parse"),
    symbol("src/pkg/b.py", "parse"),
    symbol("src/pkg/b.py", "Box.put", "method"),
]


@pytest.mark.parametrize(
    ("answer", "places"),
    [
        ("src/pkg/a.py::parse", [0]),
        ("### src/pkg/b.py::parse (lines 1-5)\nsrc/pkg/b.py::Box.put", [1, 2]),
        ("- `Box.put()`", [2]),
        ("put", [2]),
        ("parse", []),  # ambiguous
        ("1. src/pkg/b.py::Box.put\n1. src/pkg/b.py::Box.put", [2]),
        ("nothing here", []),
    ],
)
def test_symbols(answer: str, places: list[int]) -> None:
    assert parse_symbols_named(answer, SUSPECTS) == tuple(SUSPECTS[i] for i in places)


@pytest.mark.parametrize(
    ("path", "module"),
    [("src/pkg/a.py", "pkg.a"), ("pkg/__init__.py", "pkg"), ("lib/x.py", "x"), ("one.py", "one")],
)
def test_module_names(path: str, module: str) -> None:
    assert module_name(RepoPath(path)) == module


class Files:
    """The one thing `import_lines` asks of an index."""

    def files(self) -> tuple[RepoPath, ...]:
        return tuple(sorted(KNOWN))


@pytest.mark.parametrize(
    ("issue", "lines"),
    [
        ("it breaks", "from pkg.b import Box"),
        (">>> import pkg\n>>> import os\n>>> pkg.x()", "import pkg\nimport os"),
        (">>> import os.path\n>>> os.x()", "import os.path\nfrom pkg.b import Box"),
        ("  from pkg.a import parse, other\nparse()", "from pkg.a import parse, other"),
        ("import numpy as np\nfrom pkg.b import Box", "from pkg.b import Box"),
        ("import numpy as np", "from pkg.b import Box"),
        ("we import pkg often", "from pkg.b import Box"),
    ],
)
def test_imports_are_the_issues_own_or_the_best_symbols(issue: str, lines: str) -> None:
    assert import_lines(issue, [SUSPECTS[2]], Files()) == lines  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("issue", "imports", "names", "lines"),
    [
        ("it breaks", ("from pkg import Box",), {"Box", "put"}, "from pkg import Box"),
        ("it breaks", ("import pkg as p",), {"p", "Box"}, "import pkg as p"),
        ("it breaks", ("from pkg import load",), {"load"}, "from pkg import load\nfrom pkg.b import Box"),
        ("it breaks", (), {"Box"}, "from pkg.b import Box"),
        (">>> import pkg\n>>> pkg.x()", ("import pkg as p",), {"p", "Box"}, "import pkg\nimport pkg as p"),
        ("import os\nos.x()", ("from pkg import Box",), {"Box"}, "import os\nfrom pkg import Box"),
    ],
)
def test_imports_are_those_of_the_nearest_tests_before_guessed_ones(
    issue: str, imports: tuple[str, ...], names: set[str], lines: str
) -> None:
    excerpt = Excerpt(RepoPath("tests/test_b.py"), "", imports, frozenset(names))
    assert import_lines(issue, [SUSPECTS[2]], Files(), excerpt) == lines  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("issue", "imports", "lines"),
    [
        ("it breaks", ("from pkg import Box, load",), "from pkg import Box, load"),
        ("it breaks", ("import pkg as p",), "from pkg.b import Box"),
        ("it breaks", ("from pkg import load",), "from pkg.b import Box"),
        (">>> import pkg\n>>> pkg.x()", ("from pkg import Box",), "import pkg"),
    ],
)
def test_of_tests_that_the_model_does_not_see_only_the_suspects_imports_are_taken(
    issue: str, imports: tuple[str, ...], lines: str
) -> None:
    excerpt = Excerpt(RepoPath("tests/test_b.py"), "", imports, frozenset({"Box", "p", "load"}))
    assert import_lines(issue, [SUSPECTS[2]], Files(), excerpt, shown=False) == lines  # type: ignore[arg-type]


def test_guessed_modules_are_named_from_where_django_runs() -> None:
    suspect = symbol("backend/shop/models.py", "Item", "class")
    lines = import_lines("x", [suspect], Files(), entry="backend/manage.py")  # type: ignore[arg-type]
    assert lines == "from shop.models import Item"
