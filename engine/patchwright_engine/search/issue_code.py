"""Code that an issue shows, as tests: what its writer ran and saw fail, nobody has to write once more.

Invariant: the statements are the issue's own, in their order. What they printed is no expectation, for it is often the
very thing that is wrong; so a script shows the issue by an assertion of its own, or by an error the issue complains of.
"""

import ast
import doctest
import re
from collections.abc import Iterator

from patchwright_engine.repair.answers import read_answer
from patchwright_engine.search.cases import is_test
from patchwright_engine.verify.complaints import errors_of_today
from patchwright_engine.verify.reproduction import Reproduction

MAX_SCRIPTS = 3
MAX_STATEMENTS = 60
VOTES = 2
"""What such a test counts, in samples of the model."""
NOT_THIS = "The issue's own code fails here, but not with the error that the issue complains of."
_FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
_LANGUAGES = {"", "py", "python", "python3"}
_NOTEBOOK = (
    (re.compile(r"^[ \t]*In \[\d+\]: ?", re.MULTILINE), ">>> "),
    (re.compile(r"^[ \t]+\.\.\.: ?", re.MULTILINE), "... "),
)


def issue_tests(issue_text: str) -> tuple[str, ...]:
    """Test files, one for each script in the issue that can show it by itself."""
    complaints = errors_of_today(issue_text)
    tests: dict[str, None] = {}
    for body in _scripts(issue_text):
        imports = [s for s in body if isinstance(s, ast.Import | ast.ImportFrom)]
        rest = [s for s in body if s not in imports]
        shows = complaints or any(isinstance(node, ast.Assert) for s in rest for node in ast.walk(s))
        if imports and rest and shows and len(body) <= MAX_STATEMENTS:
            whole = body if any(map(is_test, rest)) else [*imports, _test_of(rest)]
            tests[ast.unparse(ast.fix_missing_locations(ast.Module(whole, [])))] = None
    return tuple(tests)[:MAX_SCRIPTS]


def shows_complaint(reproduction: Reproduction, issue_text: str) -> bool:
    """Whether such a test failed by its own assertion or by an error that the issue complains of."""
    failures = reproduction.before.failures.values() if reproduction.before is not None else ()
    complaints = errors_of_today(issue_text) | {"AssertionError"}
    return all(complaints.intersection((failure.exception, *failure.bases)) for failure in failures)


def _test_of(statements: list[ast.stmt]) -> ast.stmt:
    test = ast.parse("def test_issue(): pass").body[0]
    assert isinstance(test, ast.FunctionDef)
    test.body = statements
    return test


def _scripts(text: str) -> Iterator[list[ast.stmt]]:
    """What parses of the sessions at a prompt and of the fenced blocks."""
    for pattern, prompt in _NOTEBOOK:
        text = pattern.sub(prompt, text)
    for session in _sessions(text):
        yield [_as_shown(statement) for statement in _parsed(session)]
    for fence in read_answer(text).fences if _FENCE.search(text) else ():
        if fence.language.lower() in _LANGUAGES and ">>> " not in fence.code:
            yield _parsed(fence.code)


def _sessions(text: str) -> Iterator[str]:
    """The input of each session: examples with no prose between them."""
    try:
        examples = doctest.DocTestParser().get_examples(text)
    except ValueError:  # a prompt with nothing behind it, uneven indentation
        return
    session, end = "", 0
    for example in examples:
        if session and example.lineno > end:
            yield session
            session = ""
        session += example.source
        end = example.lineno + example.source.count("\n") + example.want.count("\n") + 1
    if session:
        yield session


def _parsed(script: str) -> list[ast.stmt]:
    try:
        return ast.parse(script).body
    except (SyntaxError, ValueError):
        return []


def _as_shown(statement: ast.stmt) -> ast.stmt:
    """A value at a prompt is shown, which may be what fails."""
    if not isinstance(statement, ast.Expr) or isinstance(statement.value, ast.Constant):
        return statement
    return ast.Expr(ast.Call(ast.Name("repr", ast.Load()), [statement.value], []))
