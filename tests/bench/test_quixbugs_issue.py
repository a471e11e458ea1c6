"""The issue that is made of a program and its first failing case, by running it."""

import sys
from pathlib import Path

import pytest

from patchwright_engine.bench.instances import Instance
from patchwright_engine.bench.quixbugs import MIRROR
from patchwright_engine.bench.quixbugs_issue import quixbugs_issue
from patchwright_engine.bench.truth import HiddenRun
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import EnvironmentProblem
from patchwright_engine.sandbox.base import Sandbox
from patchwright_engine.verify.environment import discover_environment

PROMISE = '''

"""
Twice


Input:
    n: an int

Output:
    Twice n
"""
'''
BY_CASE = """\
import pytest
from load_testdata import load_json_testcases
from python_programs.twice import twice

testdata = load_json_testcases(twice.__name__)
testdata = [[given, tuple(wanted) if isinstance(wanted, list) else wanted] for given, wanted in testdata]


@pytest.mark.parametrize("input_data,expected", testdata)
def test_twice(input_data, expected):
    if not pytest.run_slow and input_data == [99]:
        pytest.skip("slow")
    assert twice(*input_data) == expected
"""
LOADER = """\
import json
from pathlib import Path


def load_json_testcases(name):
    text = (Path(__file__).parent.parent / "json_testcases" / f"{name}.json").read_text()
    return [json.loads(line) for line in text.splitlines()]
"""
BY_HAND = '''\
from node import Node
from python_programs.twice import twice

leaf = Node(1)
root = Node(2, leaf)
other = Node(3)


def test1():
    """Case 1: a leaf"""

    assert twice(Node(4)) == 8


def test2():
    """Case 2: a root
    Output: all of it
    """

    found = twice(root)
    expected = {"root": 4, "leaf": 2, "all": 6}

    assert found == expected


def test3():
    assert not twice(other)
'''
NODE = "class Node:\n    def __init__(self, value=None, successor=None):\n        self.value = value\n"


def issue(folder: Path, sandbox: Sandbox, program: str, test: str, *, failed: str, cases: str = "") -> str:
    """Of the project that has this program, whose hidden test `failed`."""
    files = {
        "python_programs/twice.py": program + PROMISE,
        "python_programs/node.py": NODE,
        "python_testcases/node.py": NODE,
        "python_testcases/load_testdata.py": LOADER,
        "python_testcases/test_twice.py": test,
        "json_testcases/twice.json": cases,
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    instance = Instance("quixbugs-twice", "jkoppel/QuixBugs", MIRROR, "0" * 40, "3.11", (), "pytest", "", "", "", ())
    before = HiddenRun({"python_testcases/test_twice.py::test0": "PASSED", failed: "FAILED"}, "exited")
    environment = discover_environment(folder, Path(sys.executable))
    return quixbugs_issue(instance, before, folder, sandbox=sandbox, environment=environment, cancel=CancelToken())


def by_case(folder: Path, sandbox: Sandbox, body: str, case: int = 1) -> str:
    program = f"def twice(n):\n    {body}\n"
    cases = "[[1], 2]\n[[13], 26]\n[[5], [5, 5]]\n"
    failed = f"python_testcases/test_twice.py::test_twice[input_data{case}-{26 if case == 1 else 'expected2'}]"
    return issue(folder, sandbox, program, BY_CASE, failed=failed, cases=cases)


def test_a_wrong_value_is_told_with_what_was_expected_and_what_is_promised(tmp_path: Path, sandbox: Sandbox) -> None:
    told = by_case(tmp_path, sandbox, "return n + 1")
    assert told == (
        "twice(13) gives a wrong result\n\n"
        ">>> from python_programs.twice import twice\n>>> twice(13)\n14\n\nI expected 26.\n\n"
        "What python_programs/twice.py says of itself:\n\n"
        "Twice\n\nInput:\n    n: an int\n\nOutput:\n    Twice n\n"
    )
    assert by_case(tmp_path, sandbox, "return n + 1") == told


def test_expected_values_are_the_tests_own_and_addresses_are_left_out(tmp_path: Path, sandbox: Sandbox) -> None:
    told = by_case(tmp_path, sandbox, "return [object()]", case=2)
    assert ">>> twice(5)\n[<object object>]\n\nI expected (5, 5)." in told


def test_an_exception_is_told_by_its_last_line(tmp_path: Path, sandbox: Sandbox) -> None:
    told = by_case(tmp_path, sandbox, "return twice(n)")
    assert told.startswith("twice(13) raises RecursionError\n")
    assert ">>> twice(13)\nRecursionError: maximum recursion depth exceeded\n\nI expected 26." in told


def test_a_program_that_never_ends_is_told_so(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patchwright_engine.bench.quixbugs_issue.TEST_SECONDS", 2)
    told = by_case(tmp_path, sandbox, "while True: pass")
    assert told.startswith("twice(13) never ends\n")
    assert ">>> twice(13)\n\nThis never ends; I expected 26." in told


def test_a_case_that_builds_something_is_told_as_code_and_by_what_differs(tmp_path: Path, sandbox: Sandbox) -> None:
    program = "def twice(node):\n    return {'root': 4, 'leaf': 3, 'all': 6}\n"
    told = issue(tmp_path, sandbox, program, BY_HAND, failed="python_testcases/test_twice.py::test2")
    example = told.partition("What python_programs")[0]
    assert example == (
        "twice gives a wrong result\n\n```python\n"
        "from python_programs.node import Node\nfrom python_programs.twice import twice\n\n"
        "leaf = Node(1)\nroot = Node(2, leaf)\n"
        'found = twice(root)\nexpected = {"root": 4, "leaf": 2, "all": 6}\nassert found == expected\n```\n\n'
        "The last line should hold, but `found['leaf']` is 3 and not 2.\n\n"
    )


def test_of_a_plain_assertion_the_value_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    program = "def twice(node):\n    return [node.value]\n"
    told = issue(tmp_path, sandbox, program, BY_HAND, failed="python_testcases/test_twice.py::test3")
    assert "other = Node(3)\nassert not twice(other)\n```" in told
    assert "The last line should hold, but `twice(other)` is [3]." in told


def test_no_other_case_is_told(tmp_path: Path, sandbox: Sandbox) -> None:
    program = "def twice(node):\n    raise ValueError('none')\n"
    told = issue(tmp_path, sandbox, program, BY_HAND, failed="python_testcases/test_twice.py::test2")
    assert "`twice` raises ValueError: none." in told
    assert "other" not in told
    assert "Node(4)" not in told


def test_a_case_that_passes_by_itself_is_refused(tmp_path: Path, sandbox: Sandbox) -> None:
    with pytest.raises(EnvironmentProblem, match="does not fail by itself"):
        by_case(tmp_path, sandbox, "return 2 * n")
