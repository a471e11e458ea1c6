"""What the repair stage shows, asks for and leaves out."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from patchwright_engine.repair.apply import Refusal
from patchwright_engine.search.job import CODE_SHARE, Job, fit_issue
from patchwright_engine.search.repair_stage import (
    REWRITE_MAX_LINES,
    Attempt,
    Failed,
    Shown,
    repair,
    repair_prompt,
    revise,
    shown_source,
)
from patchwright_engine.search.trace import read_trace
from patchwright_engine.types import Location, Patch, RepoPath, Symbol
from scripted_model import ScriptedModel

MakeJob = Callable[..., Job]
ISSUE = "area() of a negative width should be 0"
SHAPES = '''\
import math
import os
from limits import LARGEST, SMALLEST
SCALE = 2
OTHER: int = 3
TABLE = [{numbers}]


class Box:
    """A box."""

    @property
    def area(self):
        """Its area.

            >>> Box(1).area
        """
        # the scale counts
        return self.width * SCALE + math.pi + LARGEST + len(TABLE)


async def wait(n):
    "Waits."
    return n


def only():
    """Does nothing yet."""


def one_line(): """Short."""; return 1


def joined(text):
    return text + """
flush left
"""
'''.replace("{numbers}", ", ".join(map(str, range(100))))
LONG = "def long(x):\n" + "".join(f"    x = x + {n}\n" for n in range(REWRITE_MAX_LINES)) + "    return x\n"
REWRITTEN = "```python\n@property\ndef area(self):\n    return max(0, self.width) * SCALE\n```"


def scripted(*answers: str, context_tokens: int = 8192) -> ScriptedModel:
    return ScriptedModel(lambda _request: answers or (REWRITTEN,), context_tokens=context_tokens)


def symbol_of(job: Job, name: str) -> Symbol:
    (symbol,) = job.index.find_symbols(name)
    return symbol


def location(job: Job, *names: str) -> Location:
    return Location(tuple(symbol_of(job, name) for name in names))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "Box.area",
            "@property\ndef area(self):\n    # the scale counts\n"
            "    return self.width * SCALE + math.pi + LARGEST + len(TABLE)",
        ),
        ("wait", "async def wait(n):\n    return n"),
        ("only", 'def only():\n    """Does nothing yet."""'),
        ("joined", 'def joined(text):\n    return text + """\nflush left\n"""'),
        ("one_line", 'def one_line(): """Short."""; return 1'),
    ],
)
def test_code_is_shown_without_its_indent_and_docstring(make_job: MakeJob, name: str, expected: str) -> None:
    job = make_job(scripted(), {"shapes.py": SHAPES}, ISSUE)
    assert shown_source(job, symbol_of(job, name)) == expected


def test_a_class_keeps_its_docstring_and_line_ends_are_plain(make_job: MakeJob) -> None:
    job = make_job(scripted(), {"shapes.py": SHAPES.replace("\n", "\r\n")}, ISSUE)
    shown = shown_source(job, symbol_of(job, "Box"))
    assert shown.startswith('class Box:\n    """A box."""\n')
    assert "\r" not in shown


def test_code_that_does_not_parse_is_shown_as_it_is(make_job: MakeJob) -> None:
    job = make_job(scripted(), {"a.py": "def f(x):\n    return x\n"}, ISSUE)
    broken = Symbol(RepoPath("a.py"), "f", "function", 2, 2)
    assert shown_source(job, broken) == "return x"


def test_the_context_names_what_the_code_uses_and_nothing_else(make_job: MakeJob) -> None:
    job = make_job(scripted(), {"shapes.py": SHAPES}, ISSUE)
    text = repair_prompt(job, location(job, "Box.area"), None).messages[-1].content
    for line in ("import math", "from limits import LARGEST, SMALLEST", "SCALE = 2"):
        assert f"\n{line}\n" in text
    assert "import os" not in text
    assert "OTHER" not in text
    assert "98, 99" not in text  # a long table
    assert "The module has these names" not in repair_prompt(job, location(job, "wait"), None).messages[-1].content


def repaired(job: Job, at: Location, *, n: int, seed: int, earlier: int) -> list[Attempt]:
    heard: list[Attempt] = []
    repair(job, at, None, heard.append, gains=(0.5,) * n, seed=seed, earlier=earlier)
    assert [attempt.chance for attempt in heard] == [0.5] * n
    return heard


def revised(job: Job, failed: Failed, *, n: int, seed: int) -> list[Attempt]:
    heard: list[Attempt] = []
    revise(job, failed, heard.append, gains=(0.5,) * n, seed=seed)
    return heard


def test_a_short_definition_is_rewritten_in_place_with_its_docstring_kept(make_job: MakeJob) -> None:
    model = scripted()
    job = make_job(model, {"shapes.py": SHAPES}, ISSUE)
    (attempt,) = repaired(job, location(job, "Box.area"), n=1, seed=5, earlier=0)
    assert isinstance(attempt.result, Patch)
    after = attempt.result.edits[0].after
    assert "        return max(0, self.width) * SCALE\n" in after
    assert ">>> Box(1).area" in after
    (request,) = model.requests
    assert request.answer_prefix == "```python\n"
    assert request.reference == shown_source(job, symbol_of(job, "Box.area")) + "\n```"
    assert request.stop == ("\n```",)
    assert (request.n, request.seed, request.first_greedy, request.skip_divergences) == (1, 5, True, 0)


def test_earlier_attempts_are_not_made_again(make_job: MakeJob) -> None:
    model = scripted()
    job = make_job(model, {"shapes.py": SHAPES}, ISSUE)
    repaired(job, location(job, "Box.area"), n=4, seed=0, earlier=3)
    (request,) = model.requests
    assert (request.skip_divergences, request.first_greedy, request.n) == (3, False, 4)


def test_a_long_definition_is_edited_by_search_and_replace(make_job: MakeJob) -> None:
    answer = "a.py\n```python\n<<<<<<< SEARCH\n    x = x + 7\n=======\n    x = x - 7\n>>>>>>> REPLACE\n```"
    model = scripted(answer)
    job = make_job(model, {"a.py": LONG}, ISSUE)
    (attempt,) = repaired(job, location(job, "long"), n=1, seed=0, earlier=0)
    assert isinstance(attempt.result, Patch)
    assert attempt.result.edits[0].after == LONG.replace("x + 7\n", "x - 7\n", 1)
    (request,) = model.requests
    assert "SEARCH" in request.messages[-1].content
    assert (request.reference, request.answer_prefix, request.stop) == ("", "", ())


def test_a_failing_test_is_shown_before_the_code(make_job: MakeJob) -> None:
    job = make_job(scripted(), {"shapes.py": SHAPES}, ISSUE)
    prompt = repair_prompt(job, location(job, "wait"), Shown("def test_issue():\n    assert wait(1)", "E  boom"))
    text = prompt.messages[-1].content
    assert text.index(ISSUE) < text.index("assert wait(1)") < text.index("E  boom") < text.index("async def wait")


@pytest.mark.parametrize(("name", "lines"), [("wide", 60), ("long", 200)])
def test_of_code_that_does_not_fit_whole_statements_are_shown_and_the_rest_is_told(
    make_job: MakeJob, tmp_path: Path, name: str, lines: int
) -> None:
    source = f"def {name}(x):\n" + f"    x = x + {'1' * 40}\n" * lines + "    return x\n"
    model = scripted("nothing", context_tokens=1024)
    job = make_job(model, {"a.py": source}, ISSUE)
    (attempt,) = repaired(job, location(job, name), n=1, seed=0, earlier=0)
    assert isinstance(attempt.result, Refusal)
    (dropped,) = [step for step in read_trace(tmp_path / "trace.jsonl") if step["kind"] == "dropped"]
    assert dropped["stage"] == "repair"
    (what,) = dropped["what"]
    hidden = int(re.fullmatch(rf"a\.py::{name}: (\d+) lines", what)[1])  # type: ignore[index]
    code = model.requests[0].messages[-1].content.partition("```python\n")[2].partition("\n```")[0]
    assert code.startswith(f"def {name}(x):\n")
    markers = re.findall(r"^    \.\.\. # (\d+) lines left out$", code, re.MULTILINE)
    assert sum(map(int, markers)) == hidden
    assert len(code.split("\n")) - len(markers) + hidden == lines + 2
    assert job.model.count_tokens(code) <= job.tokens(CODE_SHARE)


def test_code_that_was_cut_is_never_rewritten_whole(make_job: MakeJob) -> None:
    source = "def wide(x):\n" + f"    x = x + {'1' * 40}\n" * 60 + "    return x\n"
    job = make_job(scripted(context_tokens=1024), {"a.py": source}, ISSUE)
    assert repair_prompt(job, location(job, "wide"), None).original is None


def test_a_revision_goes_on_from_the_failure_and_repeats_no_thoughts(make_job: MakeJob) -> None:
    model = scripted(REWRITTEN.removesuffix("\n```"))  # as a stop string leaves it
    job = make_job(model, {"shapes.py": SHAPES}, ISSUE)
    (first,) = repaired(job, location(job, "Box.area"), n=1, seed=0, earlier=0)
    (again,) = revised(job, Failed(first, "abc", "x" * 5000 + "E  assert 1 == 2", 0.5), n=1, seed=9)
    request = model.requests[-1]
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user"]
    assert request.messages[2].content == first.answer == REWRITTEN
    assert "E  assert 1 == 2" in request.messages[3].content
    assert len(request.messages[3].content) < 2000
    assert request.seed == 9
    assert not request.first_greedy
    assert again.revised == "abc"
    assert isinstance(again.result, Patch)


@pytest.mark.parametrize("issue", ["short\nissue", "\n".join(f"line {n} of the report" for n in range(500))])
def test_an_issue_fits_its_share_and_a_cut_is_told(make_job: MakeJob, issue: str) -> None:
    job = make_job(scripted(context_tokens=2048), {"shapes.py": SHAPES}, issue)
    text = fit_issue(job)
    assert job.model.count_tokens(text) <= job.tokens(0.2)
    if len(issue) < 100:
        assert (text, job.notes) == (issue, [])
    else:
        assert text.startswith("line 0 ")
        assert text.endswith("line 499 of the report")
        assert "lines left out" in text
        assert len(job.notes) == 1


@pytest.mark.parametrize("issue", ["x" * 50_000, "é" * 50_000])
def test_an_issue_of_one_enormous_line_is_cut(make_job: MakeJob, issue: str) -> None:
    job = make_job(scripted(context_tokens=2048), {"shapes.py": SHAPES}, issue)
    assert len(fit_issue(job)) < 2000
    assert len(job.notes) == 1


@pytest.mark.timeout(2)
def test_an_issue_of_a_few_lines_with_an_enormous_one_is_cut(make_job: MakeJob) -> None:
    job = make_job(scripted(context_tokens=2048), {"shapes.py": SHAPES}, "title\n" + "x" * 50_000 + "\nend")
    assert len(fit_issue(job)) < 2000


def test_code_of_another_language_is_asked_for_and_placed_in_its_own(make_job: MakeJob) -> None:
    source = "import { scale } from './scale.js';\nimport './other.js';\n\nconst SIZE = 2;\nconst UNUSED = 3;\n\n"
    source += "export class Box {\n  area() {\n    return scale(this.width) * SIZE;\n  }\n}\n"
    model = scripted("```javascript\narea() {\n  return Math.max(0, scale(this.width)) * SIZE;\n}\n```")
    job = make_job(model, {"src/box.js": source}, ISSUE)
    (attempt,) = repaired(job, location(job, "Box.area"), n=1, seed=0, earlier=0)
    assert isinstance(attempt.result, Patch)
    wanted = source.replace("scale(this.width)", "Math.max(0, scale(this.width))")
    assert attempt.result.edits[0].after == wanted
    (request,) = model.requests
    assert request.answer_prefix == "```javascript\n"
    text = request.messages[-1].content
    assert "```javascript\narea() {\n  return scale(this.width) * SIZE;\n}\n```" in text
    assert "```javascript\nimport { scale } from './scale.js';\nconst SIZE = 2;\n```" in text
    assert "python" not in text
