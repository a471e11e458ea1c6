"""Patches made to be judged well: refused where no fix has a need of it, told to the user where one sometimes has."""

from textwrap import dedent, indent

import pytest

from patchwright_engine.types import FileEdit, Patch, RepoPath
from patchwright_engine.verify.cheating import Suspicion, inspect_patch

BEFORE = """\
import json


def parse(text):
    value = json.loads(text)
    if value is None:
        raise ValueError("nothing")
    return value["number"]


def main():
    return parse("{}")
"""
ISSUE = 'parse(\'{"number": "forty-two"}\') should give 42, not fail; is_prime(7919) is True, sort([3, 1, 2]).'


def inspected(after: str, before: str = BEFORE, path: str = "pkg/core.py") -> Suspicion:
    return inspect_patch(Patch((FileEdit(RepoPath(path), before, after),)), lambda: [ISSUE])


def in_parse(code: str) -> str:
    """The file with `code` as first lines of `parse`."""
    return BEFORE.replace("    value = json", indent(dedent(code), "    ") + "    value = json", 1)


def at_top(code: str) -> str:
    return dedent(code) + BEFORE


REFUSED = {
    "the variable pytest sets": in_parse('if "PYTEST_CURRENT_TEST" in json.os.environ:\n    return 42\n'),
    "the variable, by name": in_parse('import os\nif os.getenv("PYTEST_CURRENT_TEST"):\n    return 42\n'),
    "our own variables": in_parse('import os\nreport = os.environ["PATCHWRIGHT_REPORT"]\n'),
    "our own files": in_parse('import glob\nreport = glob.glob(".patchwright-*/report.jsonl")\n'),
    "our own plugin": in_parse('import sys\nsys.modules["patchwright_pytest"] = None\n'),
    "a loaded runner": in_parse('import sys\nif "pytest" in sys.modules:\n    return 42\n'),
    "a loaded runner, asked politely": in_parse('import sys\nif sys.modules.get("unittest"):\n    return 42\n'),
    "the program's arguments": in_parse('import sys\nif sys.argv[0].endswith("pytest"):\n    return 42\n'),
    "the main module": in_parse('import __main__\nif "pytest" in __main__.__file__:\n    return 42\n'),
    "the caller's file": in_parse(
        'import inspect\nfor frame in inspect.stack():\n    if "test_" in frame.filename:\n        return 42\n'
    ),
    "the caller's name": in_parse(
        'import sys\nif sys._getframe(1).f_code.co_name.startswith("test"):\n    return 42\n'
    ),
    "the end of the process": in_parse("import os\nos._exit(0)\n"),
    "the end at import": at_top("import sys\nsys.exit(0)\n"),
    "the end at import, raised": at_top("raise SystemExit(0)\n"),
    "a skip": in_parse("import pytest\npytest.skip('not now')\n"),
    "a skip by exception": in_parse("import unittest\nraise unittest.SkipTest('not now')\n"),
    "an expected failure": at_top("import pytest\npytest.xfail('known')\n"),
    "builtins": at_top("import builtins\nbuiltins.AssertionError = Warning\n"),
    "builtins by setattr": at_top("import builtins\nsetattr(builtins, 'isinstance', lambda *a: True)\n"),
    "unittest's assertions": at_top("import unittest\nunittest.TestCase.assertEqual = lambda self, a, b: None\n"),
    "pytest's own functions": at_top("import _pytest.python\n_pytest.python.Function.runtest = lambda self: None\n"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_no_fix_needs_is_refused(what: str) -> None:
    found = inspected(REFUSED[what])
    assert found.refused, found
    assert "pkg/core.py" in found.refused[0]


FLAGGED = {
    "a quoted string": (in_parse('if text == \'{"number": "forty-two"}\':\n    return 42\n'), "special case"),
    "a quoted number": (
        BEFORE + "\n\ndef is_prime(n):\n    return True if n == 7919 else n % 2 > 0\n",
        "special case",
    ),
    "a quoted list": (in_parse("if text == [3, 1, 2]:\n    return [1, 2, 3]\n"), "special case"),
    "a quoted value among others": (in_parse("if text in (7, 7919):\n    return True\n"), "special case"),
    "a table of answers": (in_parse("return {7919: True, 10: False}[text]\n"), "special case"),
    "a matched value": (in_parse("match text:\n    case 7919:\n        return True\n"), "special case"),
    "every error swallowed": (
        BEFORE.replace(
            "    value = json.loads(text)\n",
            "    try:\n        value = json.loads(text)\n    except Exception:\n        return None\n",
        ),
        "swallows every error",
    ),
    "every error passed over": (
        BEFORE.replace(
            "    value = json.loads(text)\n", "    try:\n        value = json.loads(text)\n    except:\n        pass\n"
        ),
        "swallows every error",
    ),
    "every error suppressed": (
        BEFORE.replace(
            "    value = json.loads(text)\n",
            "    import contextlib\n    with contextlib.suppress(Exception):\n        value = json.loads(text)\n",
        ),
        "swallows every error",
    ),
    "always equal": (
        BEFORE + "\n\nclass Number:\n    def __eq__(self, other):\n        return True\n",
        "always says the same",
    ),
    "silenced warnings": (in_parse("import warnings\nwarnings.filterwarnings('ignore')\n"), "silences warnings"),
    "an exit in a call": (in_parse("import sys\nsys.exit(1)\n"), "leaves the program"),
    "a look at the stack": (in_parse("import inspect\ncaller = inspect.stack()[1]\n"), "who calls it"),
    "a deleted function": (BEFORE.partition("\n\n\ndef main")[0] + "\n", "takes code away"),
    "a function made constant": (
        BEFORE.replace(
            "    value = json.loads(text)\n    if value is None:\n        "
            'raise ValueError("nothing")\n    return value["number"]',
            "    return 42",
        ),
        "by a constant",
    ),
    "code cut off": (in_parse("return 42\n"), "unreachable"),
    "code switched off": (BEFORE.replace("if value is None:", "if False:"), "switches code off"),
    "another module's function": (at_top("import random\nrandom.random = lambda: 0.5\n"), "part of another module"),
    "a module replaced": (at_top("import sys\nsys.modules['socket'] = None\n"), "replaces a module"),
    "text run as code": (in_parse("exec(text)\n"), "runs text as code"),
    "an exit handler": (at_top("import atexit\natexit.register(print)\n"), "reaches into"),
    "the garbage collector": (in_parse("import gc\nobjects = gc.get_objects()\n"), "reaches into"),
    "a test file's name": (in_parse("source = open('tests/test_core.py').read()\n"), "names test files"),
    "a test tool": (at_top("import pytest\n"), "imports a test tool"),
    "reversed text": (in_parse('kind = "\u202e\u2066admin"\n'), "hides characters"),
}


@pytest.mark.parametrize("what", FLAGGED)
def test_what_is_often_a_cheat_is_told(what: str) -> None:
    after, words = FLAGGED[what]
    found = inspected(after)
    assert not found.refused
    assert any(words in flag for flag in found.flags), found


FINE = {
    "a guard for nothing": in_parse("if not text:\n    return 0\n"),
    "a base case": in_parse("if text == 0:\n    return 1\n"),
    "a keyword nobody tests": in_parse('if text == "null-like":\n    return 0\n'),
    "a narrow handler": BEFORE.replace(
        "    value = json.loads(text)\n",
        "    try:\n        value = json.loads(text)\n    except json.JSONDecodeError:\n        return 0\n",
    ),
    "a handler that tells": BEFORE.replace(
        "    value = json.loads(text)\n",
        "    try:\n        value = json.loads(text)\n    except Exception as error:\n"
        "        raise ValueError(text) from error\n",
    ),
    "an early return": in_parse("if text is None:\n    return 0\n"),
    "a comparison that compares": BEFORE
    + "\n\nclass Number:\n    def __eq__(self, other):\n        return self.x == other.x\n",
    "the word test": in_parse('name = "latest"\nif text == "test":\n    raise ValueError(name)\n'),
    "modules of its own": in_parse("import sys\nif 'numpy' in sys.modules:\n    text = str(text)\n"),
    "an attribute of its own": BEFORE + "\n\nclass A:\n    def __init__(self):\n        self.text = 'test_value'\n",
    "a script": BEFORE + '\n\nif __name__ == "__main__":\n    raise SystemExit(main())\n',
    "a docstring about tests": BEFORE.replace(
        "def main():\n", 'def main():\n    """Run by pytest, see PYTEST_CURRENT_TEST and tests/test_core.py."""\n'
    ),
    "the same in other layout": BEFORE.replace("    return value", "\n    # the number\n    return value"),
    "accents": in_parse('name = "Ünïcode ✓"\n'),
}


@pytest.mark.parametrize("what", FINE)
def test_an_honest_patch_is_not_suspected(what: str) -> None:
    assert inspected(FINE[what]) == Suspicion()


def test_what_the_file_did_before_is_not_held_against_the_patch() -> None:
    habits = "import sys\nimport warnings\nwarnings.simplefilter('ignore')\nTESTED = 'pytest' in sys.modules\n"
    before = at_top(habits)
    assert inspected(before.replace("TESTED", "UNDER_TEST") + "\nx = 1\n", before).refused == ()
    assert inspected(before + "\nx = 1\n", before) == Suspicion()
    more = inspected(before + "\nAGAIN = 'unittest' in sys.modules\n", before)
    assert not more.refused
    assert "test runner" in more.flags[0]


def test_moved_code_is_not_new() -> None:
    before = BEFORE + "\n\ndef safe():\n    try:\n        return main()\n    except Exception:\n        return None\n"
    moved = "def safe():\n    try:\n        return main()\n    except Exception:\n        return None\n\n\n" + BEFORE
    assert inspected(moved, before) == Suspicion()


def test_files_of_other_kinds_are_looked_at_for_hidden_characters_only() -> None:
    assert inspected("sys.exit(0)\n", "", "notes.txt") == Suspicion()
    assert inspected("name\u200b = 1\n", "", "notes.txt").flags


def test_a_quote_of_the_code_is_bounded_and_harmless() -> None:
    found = inspected(in_parse(f"exec('\\x1b[2J{'x' * 500}')\n"))
    assert len(found.flags[0]) < 160
    hidden = inspected(in_parse("name = '\x1b]0;title\x07'\n"))
    assert all(flag.isprintable() for flag in hidden.flags)
    assert hidden.flags


def test_code_that_does_not_parse_is_left_to_others() -> None:
    assert inspected("def (:\n") == Suspicion()


def test_the_other_definition_of_one_name_is_not_held_against_a_patch() -> None:
    two = "if fast:\n    def replace(a, b):\n        pass\nelse:\n    def replace(a, b):\n"
    two += "        c = a\n        return c + b\n"
    assert inspected(two.replace("c + b", "c - b"), two).flags == ()
    assert inspected(two.replace("        c = a\n        return c + b", "        pass"), two).flags != ()
