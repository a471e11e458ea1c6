"""A test file of a small model is split into claims that are judged alone and counted as votes."""

from textwrap import dedent

import pytest

from patchwright_engine.search.split_tests import MAX_CLAIMS, split_claims

CASES = {
    "several asserts are split": (
        """
        from calc import add

        def test_add():
            assert add(1, 2) == 3
            assert add(0, 0) == 0
        """,
        [
            "from calc import add\n\ndef test_issue():\n    assert add(1, 2) == 3",
            "from calc import add\n\ndef test_issue():\n    assert add(0, 0) == 0",
        ],
    ),
    "what stands before an assert stays with it": (
        """
        def test_add():
            box = Box()
            assert box.size == 0
            box.put(1)
            assert box.size == 1
            box.close()
        """,
        [
            "def test_issue():\n    box = Box()\n    assert box.size == 0",
            "def test_issue():\n    box = Box()\n    box.put(1)\n    assert box.size == 1",
        ],
    ),
    "equal claims merge, whatever the test is called": (
        """
        def test_one():
            assert f(1) == 2

        def test_two() -> None:
            '''The same.'''
            # comments do not count
            assert f( 1 )==2
        """,
        ["def test_issue():\n    assert f(1) == 2"],
    ),
    "the call comes first": (
        """
        def test_a():
            assert 0 == f(1)
        def test_b():
            assert 0 != f(1)
        def test_c():
            assert 0 < f(1)
        def test_d():
            assert f(1) == g(1)
        """,
        [
            "def test_issue():\n    assert f(1) == 0",
            "def test_issue():\n    assert f(1) != 0",
            "def test_issue():\n    assert 0 < f(1)",
            "def test_issue():\n    assert f(1) == g(1)",
        ],
    ),
    "control flow stays whole": (
        """
        def test_all():
            for n in (1, 2):
                assert f(n) == n
            assert f(3) == 3
        """,
        ["def test_issue():\n    for n in (1, 2):\n        assert f(n) == n\n    assert f(3) == 3"],
    ),
    "a with block stays whole": (
        """
        import pytest

        def test_it():
            with pytest.raises(ValueError):
                f(-1)
            assert f(1)
        """,
        [
            "import pytest\n\ndef test_issue():\n    with pytest.raises(ValueError):\n        f(-1)\n    assert f(1)",
        ],
    ),
    "a fixture keeps its test whole and named": (
        """
        def test_it(tmp_path):
            assert f(tmp_path) == 1
            assert f(tmp_path) == 2
        """,
        ["def test_it(tmp_path):\n    assert f(tmp_path) == 1\n    assert f(tmp_path) == 2"],
    ),
    "a fixture of the file comes along": (
        """
        import pytest
        import os

        @pytest.fixture
        def box():
            return Box()

        def test_it(box):
            assert box.size == 0
        """,
        [
            "import pytest\n\n@pytest.fixture\ndef box():\n    return Box()\n\n"
            "def test_it(box):\n    assert box.size == 0"
        ],
    ),
    "a decorated test stays whole and named": (
        """
        import pytest

        @pytest.mark.slow
        def test_it():
            assert f(1)
            assert f(2)
        """,
        ["import pytest\n\n@pytest.mark.slow\ndef test_it():\n    assert f(1)\n    assert f(2)"],
    ),
    "an async test stays whole": (
        """
        async def test_it():
            assert await f(1)
            assert await f(2)
        """,
        ["async def test_issue():\n    assert await f(1)\n    assert await f(2)"],
    ),
    "tests in a class stay a file": (
        """
        from calc import add
        print('hello')

        class TestAdd:
            def test_add(self):
                assert add(1, 2) == 3
        """,
        ["from calc import add\n\nclass TestAdd:\n\n    def test_add(self):\n        assert add(1, 2) == 3"],
    ),
    "a case of unittest is split, its set-up stays": (
        """
        import unittest
        from calc import add

        class AddTest(unittest.TestCase):
            '''Sums.'''

            def setUp(self):
                self.one = 1

            def test_add(self):
                self.assertEqual(add(self.one, 2), 3)
                self.assertEqual(0, add(0, 0))

        if __name__ == '__main__':
            unittest.main()
        """,
        [
            "import unittest\nfrom calc import add\n\nclass IssueTest(unittest.TestCase):\n\n"
            f"    def setUp(self):\n        self.one = 1\n\n    def test_issue(self):\n        {claim}"
            for claim in ("self.assertEqual(add(self.one, 2), 3)", "self.assertEqual(add(0, 0), 0)")
        ],
    ),
    "one claim of a case in several words is one": (
        """
        class A(TestCase):
            def test_a(self):
                assert f(1) == 2
            def test_b(self):
                self.assertTrue(f(1) == 2)
            def test_c(self):
                self.assertEqual(2, f(1))
        """,
        ["class IssueTest(TestCase):\n\n    def test_issue(self):\n        self.assertEqual(f(1), 2)"],
    ),
    "a method with control flow stays whole": (
        """
        class A(TestCase):
            def test_a(self):
                with self.assertRaises(ValueError):
                    f(-1)
                self.assertTrue(f(1))
        """,
        [
            "class IssueTest(TestCase):\n\n    def test_issue(self):\n"
            "        with self.assertRaises(ValueError):\n            f(-1)\n        self.assertTrue(f(1))"
        ],
    ),
    "a decorated method and its class keep their decorators": (
        """
        @tagged
        class A(TestCase):
            @patched('f')
            def test_a(self, f):
                self.assertEqual(f(1), 1)
                self.assertEqual(f(2), 2)
        """,
        [
            "@tagged\nclass IssueTest(TestCase):\n\n    @patched('f')\n    def test_a(self, f):\n"
            "        self.assertEqual(f(1), 1)\n        self.assertEqual(f(2), 2)"
        ],
    ),
    "module-level calls are dropped": (
        """
        import pytest
        from calc import add

        print(add(1, 2))

        def test_add():
            assert add(1, 2) == 3

        if __name__ == '__main__':
            pytest.main()
        """,
        ["from calc import add\n\ndef test_issue():\n    assert add(1, 2) == 3"],
    ),
    "helpers bring what they need themselves": (
        """
        import os, json
        from calc import add, mul
        from others import *
        LIMIT = 3
        UNUSED = 4

        def twice(x):
            return mul(x, LIMIT)

        def test_it():
            assert twice(1) == 3
        """,
        [
            "from calc import add, mul\nfrom others import *\nLIMIT = 3\n\ndef twice(x):\n    return mul(x, LIMIT)\n\n"
            "def test_issue():\n    assert twice(1) == 3"
        ],
    ),
    "a docstring alone is no claim but no crash either": (
        "def test_it():\n    '''To do.'''\n",
        ['def test_issue():\n    """To do."""'],
    ),
    "a syntax error gives nothing": ("def test_it(:\n    assert f(1)", []),
    "a null byte gives nothing": ("def test_it():\n    assert '\0'", []),
    "no test gives nothing": ("def check():\n    assert f(1)\n\nclass Box:\n    pass\n", []),
    "nothing gives nothing": ("", []),
}


@pytest.mark.parametrize("name", CASES)
def test_claims(name: str) -> None:
    source, expected = CASES[name]
    check_claims(dedent(source), expected)


def check_claims(source: str, expected: list[str]) -> None:
    claims = split_claims(source)
    assert list(claims) == expected
    # Splitting what was split changes nothing, so votes of claims and of whole files can be added.
    for claim in claims:
        assert split_claims(claim) == (claim,)


def test_claims_are_capped() -> None:
    body = "".join(f"    assert f({n}) == {n}\n" for n in range(MAX_CLAIMS + 3))
    claims = split_claims("def test_it():\n" + body)
    assert len(claims) == MAX_CLAIMS
    assert "f(0)" in claims[0]


def test_functions_become_claims_of_a_case_where_the_project_has_cases() -> None:
    source = dedent(
        """
        import pytest
        from calc import add

        def test_one():
            assert add(1, 2) == 3
            assert add(0, 0) is None

        def test_two():
            with pytest.raises(ValueError, match="x"):
                add("x")
        """
    )
    header = "from django.test import TestCase"
    claims = split_claims(source, "TestCase", header)
    head = f"{header}\nfrom calc import add\n\nclass IssueTest(TestCase):\n\n    def test_issue(self):"
    assert claims == (
        f"{head}\n        self.assertEqual(add(1, 2), 3)",
        f"{head}\n        self.assertIsNone(add(0, 0))",
        f"{head}\n        with self.assertRaisesRegex(ValueError, 'x'):\n            add('x')",
    )
    assert split_claims(claims[0], "TestCase", header) == claims[:1]


def test_a_fixture_cannot_be_had_in_a_case() -> None:
    source = "def test_it(tmp_path):\n    assert f(tmp_path)"
    assert split_claims(source, "TestCase", "from unittest import TestCase") == (source,)
