"""The excerpt of the project's own tests: the nearest ones, whole statements, within its tokens, or none."""

import ast
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import dedent

import pytest

from patchwright_engine.search.job import Job
from patchwright_engine.search.nearby_tests import EXCERPT_TOKENS, Excerpt, nearby_tests
from patchwright_engine.types import RepoPath, RunReport, Symbol
from patchwright_engine.verify.baseline import Baseline
from patchwright_engine.verify.context import VerificationContext
from patchwright_engine.verify.environment import TestEnvironment
from patchwright_engine.verify.runs import TestReport
from scripted_model import ScriptedModel

CALC = """\
def add(a, b):
    return a - b


def mul(a, b):
    return a * b


class Box:
    def put(self, x):
        pass
"""
ADD = Symbol(RepoPath("calc.py"), "add", "function", 1, 2)
MUL = Symbol(RepoPath("calc.py"), "mul", "function", 5, 6)
PUT = Symbol(RepoPath("calc.py"), "Box.put", "method", 10, 11)


def passed(*tests: str) -> Baseline:
    run = RunReport(("pytest",), 0, "", 0.1)
    return Baseline(TestReport(run, dict.fromkeys(tests, "passed")))


class Near:
    """Excerpts of small projects."""

    def __init__(self, make_job: Callable[..., Job]) -> None:
        self.make_job = make_job

    def __call__(
        self,
        files: Mapping[str, str],
        passing: Sequence[str],
        symbols: Sequence[Symbol] = (ADD,),
        *,
        own: Sequence[str] | None = None,
        context_tokens: int = 16384,
    ) -> Excerpt | None:
        model = ScriptedModel.of()
        model.context_tokens = context_tokens
        job = self.make_job(model, {"calc.py": CALC, **{p: dedent(t) for p, t in files.items()}}, "it breaks")
        context = VerificationContext(
            job.snapshot,
            None,
            TestEnvironment(Path("/x"), "pytest", "", ()),
            None,
            own_tests=tuple(files if own is None else own),
            baseline=passed(*passing),
        )
        excerpt = nearby_tests(job, symbols, context)
        if excerpt is not None:
            ast.parse(excerpt.text)  # whole statements only
            assert job.model.count_tokens(excerpt.text) <= min(EXCERPT_TOKENS, context_tokens / 16)
        return excerpt


@pytest.fixture
def near(make_job: Callable[..., Job]) -> Near:
    return Near(make_job)


FUNCTIONS = """\
    import json
    import os
    from calc import add, mul

    LIMIT = 3
    UNUSED = 4


    def helper(n):
        return n + LIMIT


    def test_mul():
        assert mul(1, 2) == 2


    def test_add_long():
        total = add(1, 2)
        other = mul(1, 2)
        assert total == 3
        assert other == 2


    def test_add():
        # as in the handbook
        assert add(helper(1), 2) == 6
"""


def test_the_shortest_tests_that_mention_the_suspect_with_what_they_use(near: Near) -> None:
    excerpt = near({"test_calc.py": FUNCTIONS}, ["test_calc.py::test_mul", "test_calc.py::test_add"])
    assert excerpt is not None
    assert excerpt.path == "test_calc.py"
    assert excerpt.text == dedent(
        """\
        from calc import add

        LIMIT = 3

        def helper(n):
            return n + LIMIT

        def test_add():
            # as in the handbook
            assert add(helper(1), 2) == 6"""
    )
    assert excerpt.imports == ("from calc import add",)
    assert {"add", "helper"} <= excerpt.names
    assert (excerpt.base, excerpt.fixtures) == ("", ())


def test_two_tests_are_shown_and_the_likelier_suspect_counts_more(near: Near) -> None:
    every = [f"test_calc.py::{name}" for name in ("test_mul", "test_add", "test_add_long")]
    excerpt = near({"test_calc.py": FUNCTIONS}, every)
    assert excerpt is not None
    assert excerpt.text.index("def test_add()") < excerpt.text.index("def test_add_long")
    assert "test_mul" not in excerpt.text
    excerpt = near({"test_calc.py": FUNCTIONS}, every, [MUL, ADD])
    assert excerpt is not None
    assert "def test_add_long" in excerpt.text  # the one that mentions both
    assert "def test_mul" not in excerpt.text


def test_the_file_that_tests_the_likeliest_suspect_comes_first(near: Near) -> None:
    files = {
        "test_a.py": "from calc import mul\ndef test_a():\n    assert mul(1, 1) == 1\n",
        "test_b.py": "import calc\ndef test_b():\n    assert calc.add(1, 0) == 1\n",
    }
    excerpt = near(files, ["test_a.py::test_a", "test_b.py::test_b"], [ADD, MUL])
    assert excerpt is not None
    assert excerpt.path == "test_b.py"
    assert excerpt.imports == ("import calc",)


CASES = """\
    from unittest import TestCase, skip
    from calc import Box


    class BoxTest(TestCase):
        '''Of boxes.'''

        size = 3

        def setUp(self):
            self.box = Box()

        def tearDown(self):
            self.box = None

        def test_put(self):
            self.box.put(self.size)

        def test_other(self):
            pass
"""


def test_a_case_comes_with_its_base_and_set_up(near: Near) -> None:
    excerpt = near({"tests/test_box.py": CASES}, ["tests/test_box.py::BoxTest::test_put"], [PUT])
    assert excerpt is not None
    assert excerpt.text == dedent(
        """\
        from unittest import TestCase
        from calc import Box

        class BoxTest(TestCase):
            size = 3

            def setUp(self):
                self.box = Box()

            def test_put(self):
                self.box.put(self.size)"""
    )
    assert (excerpt.base, excerpt.base_import) == ("TestCase", "from unittest import TestCase")


def test_a_special_method_is_mentioned_by_what_calls_it(near: Near) -> None:
    text = """\
        from calc import Box

        def test_box():
            assert Box()

        def test_long():
            box = Box()
            assert list(reversed(box)) == []
    """
    suspect = Symbol(RepoPath("calc.py"), "Box.__reversed__", "method", 10, 11)
    excerpt = near({"test_a.py": text}, ["test_a.py::test_box", "test_a.py::test_long"], [suspect])
    assert excerpt is not None
    assert "def test_long" in excerpt.text
    assert "def test_box" not in excerpt.text


def test_a_base_defined_in_the_file_is_named_without_an_import(near: Near) -> None:
    text = """\
        import unittest
        from calc import add

        class Base(unittest.TestCase):
            pass

        class AddTest(Base):
            def test_add(self):
                self.assertEqual(add(1, 0), 1)
    """
    excerpt = near({"test_a.py": text}, ["test_a.py::AddTest::test_add"])
    assert excerpt is not None
    assert (excerpt.base, excerpt.base_import) == ("unittest.TestCase", "")


def test_a_class_that_is_no_case_has_no_base(near: Near) -> None:
    text = "from calc import add\nclass TestAdd(object):\n    def test_add(self):\n        assert add(1, 0) == 1\n"
    excerpt = near({"test_a.py": text}, ["test_a.py::TestAdd::test_add"])
    assert excerpt is not None
    assert excerpt.base == ""


def test_fixtures_of_the_file_come_along_and_those_of_a_conftest_are_named(near: Near) -> None:
    text = """\
        import pytest
        from calc import add

        @pytest.fixture
        def one():
            return 1

        def test_add(one):
            assert add(one, 0) == 1
    """
    excerpt = near({"tests/test_a.py": text}, ["tests/test_a.py::test_add"])
    assert excerpt is not None
    assert "@pytest.fixture\ndef one():\n    return 1" in excerpt.text
    assert excerpt.fixtures == ()


def test_parameters_that_a_conftest_provides_are_named(near: Near) -> None:
    conftest = "import pytest\n@pytest.fixture\ndef one():\n    return 1\n"
    text = "from calc import add\ndef test_add(one):\n    assert add(one, 0) == 1\n"
    excerpt = near({"conftest.py": conftest, "tests/test_a.py": text}, ["tests/test_a.py::test_add[0]"])
    assert excerpt is not None
    assert excerpt.fixtures == ("one",)


def test_a_long_table_of_parameters_shows_its_first_rows(near: Near) -> None:
    rows = "".join(f"            ({n}, {n}, {2 * n}),\n" for n in range(30))
    text = (
        "    import pytest\n    from calc import add\n\n"
        "    @pytest.mark.parametrize(\n        ('a', 'b', 'c'),\n        [\n"
        + rows
        + "        ],\n    )\n    def test_add(a, b, c):\n        assert add(a, b) == c\n"
    )
    excerpt = near({"test_a.py": text}, ["test_a.py::test_add[0-0-0]"])
    assert excerpt is not None
    head = "@pytest.mark.parametrize(('a', 'b', 'c'), [(0, 0, 0), (1, 1, 2)])\ndef test_add(a, b, c):"
    assert head in excerpt.text


def test_of_a_test_that_is_too_long_one_assertion_is_left_with_what_it_needs(near: Near) -> None:
    padding = "".join(f"        assert mul({n}, 1) == {n}  # another claim, of no use here\n" for n in range(60))
    text = (
        "    from calc import add, mul\n\n    def test_all():\n        one = 1\n        two = 2\n"
        + padding
        + "        total = add(one, 0)\n        assert add(total, 0) == 1\n"
    )
    excerpt = near({"test_a.py": text}, ["test_a.py::test_all"])
    assert excerpt is not None
    assert excerpt.text == dedent(
        """\
        from calc import add

        def test_all():
            one = 1
            total = add(one, 0)
            assert add(total, 0) == 1"""
    )


def test_the_budget_shrinks_with_the_context(near: Near) -> None:
    files = {"test_calc.py": FUNCTIONS}
    every = ["test_calc.py::test_add", "test_calc.py::test_add_long"]
    sizes = []
    for tokens in (16384, 1024, 256):
        excerpt = near(files, every, context_tokens=tokens)
        sizes.append(len(excerpt.text) if excerpt else 0)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[1] > 0
    assert sizes[2] == 0


NOTHING_NEAR = {
    "nothing passes": ({"test_calc.py": FUNCTIONS}, []),
    "the test itself fails": ({"test_calc.py": FUNCTIONS}, ["test_calc.py::test_mul"]),
    "another name": (
        {"test_a.py": "from calc import mul\ndef test_a():\n    assert mul(1, 1)\n"},
        ["test_a.py::test_a"],
    ),
    "the same name of another module": (
        {"other.py": "def add():\n    pass\n", "test_a.py": "from other import add\ndef test_a():\n    add()\n"},
        ["test_a.py::test_a"],
    ),
    "no test file": ({"bench.py": "from calc import add\ndef test_a():\n    add(1, 1)\n"}, ["bench.py::test_a"]),
    "a fence in it": (
        {"test_a.py": "from calc import add\ndef test_a():\n    assert add('```', '') == '```'\n"},
        ["test_a.py::test_a"],
    ),
    "another Python": (
        {"test_a.py": "from calc import add\ndef test_a():\n    print add(1, 1)\n"},
        ["test_a.py::test_a"],
    ),
    "one line": (
        {"test_a.py": "from calc import add\ndef test_a(): assert add(1, 0) == 1\n"},
        ["test_a.py::test_a"],
    ),
}


@pytest.mark.parametrize("case", NOTHING_NEAR)
def test_without_anything_near_there_is_no_excerpt(near: Near, case: str) -> None:
    files, passing = NOTHING_NEAR[case]
    assert near(files, passing) is None


def test_what_comes_by_way_of_the_package_is_near(near: Near) -> None:
    files = {
        "pkg/__init__.py": "from .sums import add\n",
        "pkg/sums.py": "def add(a, b):\n    return a - b\n",
        "test_a.py": (
            "import pkg as p\nfrom tests_support import tidy\n\ndef test_a():\n    assert tidy(p.add(1, 0)) == 1\n"
        ),
        "tests/tests_support.py": "def tidy(x):\n    return x\n",
    }
    suspect = Symbol(RepoPath("pkg/sums.py"), "add", "function", 1, 2)
    excerpt = near(files, ["test_a.py::test_a"], [suspect])
    assert excerpt is not None
    assert excerpt.imports == ("import pkg as p",)


def test_an_import_of_everything_stays(near: Near) -> None:
    text = "from calc import *\n\ndef test_a():\n    assert add(1, 0) == 1\n"
    excerpt = near({"test_a.py": text}, ["test_a.py::test_a"])
    assert excerpt is not None
    assert excerpt.imports == ("from calc import *",)


def test_relative_imports_are_the_projects_own(near: Near) -> None:
    files = {
        "shop/tests/__init__.py": "",
        "shop/models.py": "def add(a, b):\n    return a - b\n",
        "shop/__init__.py": "",
        "shop/tests/test_a.py": "from ..models import add\n\ndef test_a():\n    assert add(1, 0) == 1\n",
    }
    suspect = Symbol(RepoPath("shop/models.py"), "add", "function", 1, 2)
    excerpt = near(files, ["shop/tests/test_a.py::test_a"], [suspect])
    assert excerpt is not None
    assert excerpt.imports == ("from ..models import add",)
