"""A short excerpt of the project's own tests, for the prompt that asks for a reproduction.

Shown are one or two of the tests that mention the suspects, with the imports, fixtures and set-up that these use. The
excerpt holds whole statements only, has a token budget, and there is none where nothing is near or nothing passes
here: what cannot run here would teach what cannot run.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from patchwright_engine.index import Index
from patchwright_engine.repair.guards import is_judging_file
from patchwright_engine.search.cases import is_assertion, is_test
from patchwright_engine.search.job import Job
from patchwright_engine.search.whole_statements import (
    AnyImport,
    Function,
    bindable_in,
    class_head,
    function_lines,
    imports_in,
    length,
    names_in,
    needed_for,
    reduced,
    source_lines,
)
from patchwright_engine.syntax.parse import Import
from patchwright_engine.types import RepoPath, Snapshot, Symbol
from patchwright_engine.verify.context import VerificationContext
from patchwright_engine.verify.discovery import tests_among
from patchwright_engine.verify.statements import binds

EXCERPT_TOKENS = 500
EXCERPT_SHARE = 1 / 16
"""Of the context window: the smaller of the two counts."""
SHOWN_TESTS = 2
READ_FILES = 6
_TRIED_TESTS = 4
_SET_UP = {"setUp", "setUpClass", "setUpTestData", "asyncSetUp", "setup_method", "setup_class"}


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is shown of one test file."""

    path: RepoPath
    text: str
    imports: tuple[str, ...] = ()
    """How the shown tests import the suspects, or else what of the project leads them there."""
    names: frozenset[str] = frozenset()
    """Every name that the shown tests mention."""
    base: str = ""
    """Class of which the nearest test's case is derived, as written; '': its test is a function."""
    base_import: str = ""
    """The import that brings `base`; '': the file defines it itself."""
    fixtures: tuple[str, ...] = ()
    """Parameters of the nearest test that a conftest.py provides."""


def nearby_tests(job: Job, symbols: Sequence[Symbol], context: VerificationContext) -> Excerpt | None:
    """The excerpt of the nearest tests of `symbols` (likeliest first) that pass here; None when there are none."""
    if context.baseline is None:
        return None
    passing = context.baseline.report.with_outcome("passed")
    budget = min(EXCERPT_TOKENS, job.tokens(EXCERPT_SHARE))
    found: list[tuple[float, int, _Tests]] = []
    for path in islice(_near_files(job, context.own_tests, passing, symbols), READ_FILES):
        tests = _read(job.snapshot, path, symbols, passing)
        if tests is not None:
            found.append((-tests.ranked[0][0], len(found), tests))
    for _, _, tests in sorted(found, key=lambda item: item[:2]):
        excerpt = _fitted(job, tests, budget)
        if excerpt is not None:
            return excerpt
    return None


def _near_files(
    job: Job, tests: Sequence[str], passing: frozenset[str], symbols: Sequence[Symbol]
) -> Iterator[RepoPath]:
    """Test files with a test that passes, that mention a suspect and import its file, if only by way of another."""
    index = job.index
    wanted = re.compile(rf"\b(?:{'|'.join(re.escape(part) for symbol in symbols for part in _parts(symbol))})\b")
    suspected = {symbol.path for symbol in symbols}
    ran = {test.partition("::")[0] for test in passing}
    for path in tests_among((path for path in tests if path in ran), job.snapshot):
        if wanted.search(job.snapshot.read_text(path)):
            direct = index.imported_files(path)
            if suspected & {other for near in direct for other in (near, *index.imported_files(near))}:
                yield path


def _parts(symbol: Symbol) -> list[str]:
    return [part for part in symbol.name.split(".") if not part.startswith("__")]


@dataclass(frozen=True, slots=True)
class _Tests:
    """One test file, parsed."""

    path: RepoPath
    lines: tuple[str, ...]
    module: ast.Module
    ranked: tuple[tuple[float, Function, ast.ClassDef | None], ...]
    """Its tests that mention a suspect, nearest first, each with its nearness and its class."""
    wanted: frozenset[str]
    """Names of the suspects."""


def _read(snapshot: Snapshot, path: RepoPath, symbols: Sequence[Symbol], passing: frozenset[str]) -> _Tests | None:
    text = snapshot.read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    owners: list[ast.ClassDef | None] = [None, *(node for node in module.body if isinstance(node, ast.ClassDef))]
    passed = {test.partition("::")[2].partition("[")[0] for test in passing if test.startswith(f"{path}::")}
    ranked: list[tuple[float, Function, ast.ClassDef | None]] = []
    for owner in owners:
        for node in (owner or module).body:
            if isinstance(node, Function) and is_test(node):
                name = f"{owner.name}::{node.name}" if owner else node.name
                nearness = _nearness(names_in(node), symbols)
                if nearness and name in passed:
                    ranked.append((nearness, node, owner))
    ranked.sort(key=lambda item: (-item[0], length(item[1]), item[1].lineno))
    wanted = frozenset(part for symbol in symbols for part in _parts(symbol))
    return _Tests(path, tuple(text.split("\n")), module, tuple(ranked), wanted) if ranked else None


def _nearness(used: set[str], symbols: Sequence[Symbol]) -> float:
    """Larger for mentioning the likelier suspects; half for no more than the class of a suspected method.

    A method such as `__reversed__` is mentioned by its class and `reversed`.
    """
    total = 0.0
    for rank, symbol in enumerate(symbols, start=1):
        last = symbol.name.rpartition(".")[2]
        around = used.intersection(_parts(symbol))
        direct = last in used or (around and last.startswith("__") and last.strip("_") in used)
        total += (1.0 if direct else 0.5 if around else 0.0) / rank
    return total


# From tests to text


def _fitted(job: Job, tests: _Tests, budget: int) -> Excerpt | None:
    """The richest excerpt within the budget: two tests with what they use, one, one without, a part of one."""
    top = tests.ranked[:_TRIED_TESTS]
    nearest = [(node, owner) for nearness, node, owner in top if nearness == top[0][0]]
    others = [(node, owner) for nearness, node, owner in top if nearness < top[0][0]]
    tries = [(nearest[:SHOWN_TESTS], True, False)]
    forms = [(True, False), (False, False), (True, True), (False, True)]
    tries += [([one], *form) for group in (nearest, others) for form in forms for one in group]
    for chosen, helpers, shortened in tries:
        excerpt = _composed(job, tests, chosen, helpers=helpers, shortened=shortened)
        if excerpt is not None and "```" not in excerpt.text and job.model.count_tokens(excerpt.text) <= budget:
            return excerpt
    return None


def _composed(
    job: Job,
    tests: _Tests,
    chosen: Sequence[tuple[Function, ast.ClassDef | None]],
    *,
    helpers: bool,
    shortened: bool,
) -> Excerpt | None:
    """The text of some tests with what they use; None when nothing of a test would be left."""
    classes: dict[str, list[str]] = {}
    functions: list[list[str]] = []
    parts: list[ast.AST] = []
    for node, owner in chosen:
        statements = _telling(tests, node) if shortened else node.body
        lines = function_lines(tests.lines, node, statements)
        if not lines:
            return None
        parts += [*statements, node.args, *node.decorator_list]
        if owner is None:
            functions.append(lines)
        elif owner.name not in classes:
            prepared = [part for part in owner.body if helpers and _prepares(part)]
            set_up = [line for part in prepared for line in (*source_lines(tests.lines, part), "")]
            classes[owner.name] = [*class_head(tests.lines, owner), *set_up, *lines]
            parts += [*owner.bases, *owner.decorator_list, *prepared]
        else:
            classes[owner.name] += ["", *lines]
    used = {name for part in parts for name in bindable_in(part)}
    needed = needed_for(tests.module, used, helpers=helpers)
    imports = {reduced(node, used): node for node in imports_in(needed)}
    own = {text: node for text, node in imports.items() if _is_own(job.index, tests.path, node)}
    leading = tuple(text for text, node in own.items() if _leads_to(node, tests.wanted, parts))
    rest = [source_lines(tests.lines, node) for node in needed if not isinstance(node, AnyImport)]
    blocks = ["\n".join(imports), *("\n".join(block) for block in (*rest, *classes.values(), *functions))]
    node, owner = chosen[0]
    base, base_import = _base_of(owner, tests.module)
    return Excerpt(
        tests.path,
        "\n\n".join(block for block in blocks if block),
        leading or tuple(own),
        frozenset(used).union(*map(names_in, parts)),
        base,
        base_import,
        _fixtures(job.snapshot, tests, node) if owner is None else (),
    )


def _is_own(index: Index, path: RepoPath, node: AnyImport) -> bool:
    """Whether an import brings code of the project that is no test material."""
    if isinstance(node, ast.Import):
        items = [Import(alias.name, (), node.lineno) for alias in node.names]
    else:
        names = tuple(alias.name for alias in node.names)
        items = [Import("." * node.level + (node.module or ""), names, node.lineno)]
    targets = [target for item in items for target in index.modules().targets(path, item)]
    # Django keeps the code of its tests in tests/ too: what they import from their own folder is no helper.
    relative = isinstance(node, ast.ImportFrom) and node.level > 0
    return any(relative or not is_judging_file(target) for target in targets)


def _leads_to(node: AnyImport, wanted: frozenset[str], parts: Sequence[ast.AST]) -> bool:
    """Whether an import brings a suspect itself, or a module of which the tests take one."""
    bound = binds(node)
    taken = (n for part in parts for n in ast.walk(part) if isinstance(n, ast.Attribute) and n.attr in wanted)
    return bool(bound & (wanted | {"*"})) or any(isinstance(n.value, ast.Name) and n.value.id in bound for n in taken)


def _prepares(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign | ast.AnnAssign) or (isinstance(node, Function) and node.name in _SET_UP)


def _telling(tests: _Tests, node: Function) -> list[ast.stmt]:
    """A test's first assertion about a suspect with the statements that this needs; [] when there is none."""
    found = [s for s in node.body if (is_assertion(s) or isinstance(s, ast.With)) and tests.wanted & names_in(s)]
    if not found:
        return []
    wanted, kept = bindable_in(found[0]), found[:1]
    for statement in reversed(node.body[: node.body.index(found[0])]):
        if binds(statement) & wanted:
            kept.insert(0, statement)
            wanted |= bindable_in(statement)
    return kept


def _base_of(owner: ast.ClassDef | None, module: ast.Module) -> tuple[str, str]:
    """The base that makes a class a case, and the import that brings it; ('', '') for a class that is none."""
    if owner is None or not owner.bases:
        return "", ""
    bases = [ast.unparse(base) for base in owner.bases]
    named = next((base for base in bases if base.endswith("TestCase")), None)
    if named is not None:
        root = named.partition(".")[0]
        brings = next((reduced(node, {root}) for node in imports_in(module.body) if root in binds(node)), "")
        return named, brings
    own_words = "self.assert" in ast.unparse(owner)
    return ("unittest.TestCase", "") if own_words else ("", "")


def _fixtures(snapshot: Snapshot, tests: _Tests, node: Function) -> tuple[str, ...]:
    """The parameters of a test function, when a conftest.py above it provides every one of them."""
    names = [argument.arg for argument in node.args.args]
    folders = PurePosixPath(tests.path).parents
    files = [RepoPath((folder / "conftest.py").as_posix()) for folder in folders]
    texts = [snapshot.read_text(path) for path in files if path in snapshot.files]
    provided = all(any(f"def {name}(" in text for text in texts) for name in names)
    return tuple(names) if provided else ()
