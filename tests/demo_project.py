"""A small project with one fault, and a model script that knows every answer to it."""

from pathlib import Path

from scripted_model import Rule

CALC = """\
# Größen: 😀 ist kein Zeilenende


def add(a, b):
    return a - b, '😀é'


def mul(a, b):
    return a * b
"""
FIXED = CALC.replace("a - b", "a + b")
TESTS = """\
from calc import mul


def test_mul():
    assert mul(2, 3) == 6
"""
ISSUE = "`add(2, 3)[0]` in calc.py returns -1. It should return 5, the sum."

FILES = Rule(("calc.py",), match="Which of these files")
PIECES = Rule(("calc.py::add",), match="Which of these pieces")
REPRODUCTION = Rule(
    ("```python\nimport pytest\nfrom calc import add\n\n\ndef test_issue():\n    assert add(2, 3)[0] == 5\n```",),
    match="Imports:",
)
REPAIR = Rule(("```python\ndef add(a, b):\n    return a + b, '😀é'\n```",), match="(?i)fix the issue (in|by)")
JUDGE = Rule(("Yes",), yes=0.9)
RULES = (FILES, PIECES, REPRODUCTION, REPAIR, JUDGE)


def write_project(root: Path) -> None:
    """The project in a folder that exists."""
    (root / "calc.py").write_text(CALC, encoding="utf-8")
    (root / "test_calc.py").write_text(TESTS)


def check_untouched(project: Path) -> None:
    """No file of the workspace was written, made or removed."""
    assert (project / "calc.py").read_text(encoding="utf-8") == CALC
    assert sorted(path.name for path in project.iterdir()) == ["calc.py", "test_calc.py"]
