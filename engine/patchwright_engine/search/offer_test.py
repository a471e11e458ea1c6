"""The accepted reproduction as a regression test of the project: named, placed beside its tests, run where it lies.

Invariant: a test is offered with a fix only after it failed at its final place without the fix and passed with it.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from patchwright_engine.search.candidates import Pool
from patchwright_engine.search.cases import CASE, TEST, as_case
from patchwright_engine.search.frameworks import framework_of
from patchwright_engine.search.job import Job
from patchwright_engine.types import Evidence, FileEdit, RepoPath, Snapshot
from patchwright_engine.verify.context import VerificationContext, run_files
from patchwright_engine.verify.discovery import tests_among
from patchwright_engine.verify.habits import Habits, habits_of

OFFERED = 3
"""Fixes that get the test; each costs one more run."""
_CUSTOM = "test_*.py"
_SLUG_WORDS = 5
_DULL = {"a", "an", "and", "for", "in", "is", "of", "on", "the", "to", "when", "with"}


def offer_test(job: Job, context: VerificationContext, pool: Pool, votes: Mapping[RepoPath, int]) -> None:
    """Set `test` of the best reproduced candidates. Raises: as `Sandbox.run`."""
    reproduced = [c for c in pool.alive() if c.verification.evidence is Evidence.REPRODUCED][:OFFERED]
    if not reproduced or context.workspace is None or context.environment.language != "python":
        return
    passing = reproduced[0].satisfied
    accepted = [r for r in context.reproductions if r.path in passing]
    if not accepted:
        return
    best = max(accepted, key=lambda reproduction: votes.get(reproduction.path, 0))
    slug = slug_of(job.issue.title)
    framework = framework_of(context.environment.runner, job.snapshot, context.own_tests)
    path = place_of(job.snapshot, _nearest(best.path, context, reproduced[0].patch.paths), slug)
    source = source_of(best.source, slug, framework.base, framework.header)
    job.report("rank", "checking the regression test where it will lie")
    before = run_files(context, None, {path: source}, job.cancel)
    if not before.with_outcome("failed") or before.with_outcome("error"):
        job.trace.step("test", path=path, offered=False, reason=before.problem or before.summary)
        return
    for candidate in reproduced:
        after = run_files(context, candidate.patch, {path: source}, job.cancel)
        if after.problem is None and after.results and set(after.results.values()) == {"passed"}:
            candidate.test = FileEdit(path, "", source, created=True)
    offered = any(candidate.test for candidate in reproduced)
    job.trace.step("test", path=path, offered=offered, reason="" if offered else "it does not pass there with a fix")


def _nearest(reproduction: RepoPath, context: VerificationContext, changed: Sequence[RepoPath]) -> tuple[str, ...]:
    """Test files, there or not, beside which the new one belongs, best first."""
    folder = PurePosixPath(reproduction).parent
    if folder != PurePosixPath("."):  # It was shown to run there.
        return (reproduction,)
    if context.own_tests or context.environment.runner != "django":
        return context.own_tests
    # Django looks for tests in its apps, whether there are others or not.
    return tuple((PurePosixPath(path).parent / "tests.py").as_posix() for path in changed)


def slug_of(title: str) -> str:
    """A few words of the issue's title as an identifier; 'issue' when it has none."""
    words = [word for word in re.findall(r"[a-z0-9]+", title.lower().replace("'", "")) if word not in _DULL]
    return "_".join(words[:_SLUG_WORDS])[:50].strip("_") or "issue"


def place_of(snapshot: Snapshot, nearest: tuple[str, ...], slug: str) -> RepoPath:
    """A free file name beside the nearest test, else in `tests/` when there is one, else at the root.

    It is a name that the project's own pytest settings take for a test. Of `nearest`, files that are not there yet
    count as tests.
    """
    tests = tests_among(nearest, snapshot)
    folders = [PurePosixPath(path).parent for path in nearest if path in tests or path not in snapshot.files]
    top = {PurePosixPath(path).parts[0] for path in snapshot.files if "/" in path}
    folder = folders[0] if folders else PurePosixPath("tests" if "tests" in top else ".")
    pattern = _pattern(habits_of(snapshot), folder)
    for number in range(1, 1000):
        path = RepoPath((folder / pattern.replace("*", slug if number == 1 else f"{slug}_{number}")).as_posix())
        if path not in snapshot.files:
            return path
    raise AssertionError("a thousand tests of one name")


def _pattern(habits: Habits, folder: PurePosixPath) -> str:
    """How a test file is named in `folder`: as is the custom, or as the project's settings ask for."""
    asked = [name for name in habits.python_files if re.fullmatch(r"\w*\*\w*\.py", name)]
    fitting = (name for name in (_CUSTOM, *asked) if habits.names(RepoPath((folder / name).as_posix())))
    return next(fitting, _CUSTOM)


def source_of(source: str, slug: str, base: str = "", header: str = "") -> str:
    """The reproduction's text, named after the issue; as a case derived from `base` where the project has cases.

    `header` is the import that brings `base`.
    """
    module = ast.parse(source)
    if base:
        module = as_case(module, base, header)
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name == TEST:
            node.name = f"test_{slug}"
        elif isinstance(node, ast.ClassDef) and node.name == CASE:
            node.name = "".join(word.capitalize() for word in slug.split("_")) + "Test"
            node.name = node.name if node.name.isidentifier() else CASE
    imports = [ast.unparse(n) for n in module.body if isinstance(n, ast.Import | ast.ImportFrom)]
    rest_text = [
        ast.unparse(ast.fix_missing_locations(n)) for n in module.body if not isinstance(n, ast.Import | ast.ImportFrom)
    ]
    return "\n\n\n".join(["\n".join(dict.fromkeys(imports)), *rest_text]).strip() + "\n"
