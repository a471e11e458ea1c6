"""What a failing test adds to localization: each issue located alone, and again with its failing tests followed.

Both times in the same tree, in which the developer's tests for the issue are written, as by a user who names one.
Invariant: where the tests cannot be followed the second ranking is the first, and the reason is told.
"""

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from patchwright_engine.bench.instances import Instance, LocalizationInstance
from patchwright_engine.bench.localization import RANKED, Located, ranks_in
from patchwright_engine.bench.prepare import prepare
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import PatchwrightError
from patchwright_engine.index import open_index
from patchwright_engine.localize import locate
from patchwright_engine.localize.spectrum import with_spectrum
from patchwright_engine.sandbox.output import one_line
from patchwright_engine.search.failing_test import DEPTH, TestRun, follow
from patchwright_engine.search.ran import spectrum_in
from patchwright_engine.types import Issue, Ranking, Snapshot
from patchwright_engine.verify.discovery import is_test_file
from patchwright_engine.workspace.snapshot import take_snapshot

_WRITTEN = re.compile(r"^\+\+\+ b/(\S+\.py)$", re.MULTILINE)
_PRINTED = re.compile(r"\w+ \([\w.]+\)")


@dataclass(frozen=True, slots=True)
class ExecutedWork:
    """One instance and where its things are."""

    instance: Instance
    gold: LocalizationInstance
    repos: Path
    cache: Path
    """As of the other benchmarks, so that what one installed serves the next."""
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Executed:
    """What came of one instance."""

    instance_id: str
    alone: Located
    """The ranking from the issue alone."""
    with_tests: Located
    failing: int = 0
    passing: int = 0
    """Tests that were followed."""
    seconds: float = 0.0
    """For running them."""
    problem: str = ""
    """Why they could not be followed."""


def execute_instance(work: ExecutedWork) -> Executed:
    """Install, index, rank, run and rank again; whatever goes wrong is in the answer."""
    gold = work.gold
    cancel = CancelToken()
    try:
        prepared = prepare(work.instance, work.repos, work.cache, cancel, _nothing)
        snapshot = take_snapshot(prepared.tests)
        name = work.cache / "index" / gold.repo.replace("/", "+")
        with open_index(name, name.parent) as index:
            report = index.refresh(snapshot, cancel)
            ranking = locate(Issue(gold.problem), snapshot, index, DEPTH)
            alone = replace(ranks_in(_cut(ranking), gold), indexed=report.files, seconds=round(ranking.seconds, 4))
            command = failing_tests(work.instance, snapshot)
            try:
                ran = follow(TestRun(command, str(prepared.python), None, work.timeout_seconds), snapshot, cancel)
            except PatchwrightError as error:
                return Executed(gold.instance_id, alone, alone, problem=one_line(error.message))
            spectrum = spectrum_in(index, ran.failed.values(), ran.passed.values())
            with_tests = replace(ranks_in(_cut(with_spectrum(ranking, spectrum)), gold), indexed=report.files)
    except (PatchwrightError, OSError) as error:
        located = Located(gold.instance_id, gold.repo, problem=str(error))
        return Executed(gold.instance_id, located, located, problem=str(error))
    return Executed(gold.instance_id, alone, with_tests, len(ran.failed), len(ran.passed), round(ran.seconds, 2))


def failing_tests(instance: Instance, snapshot: Snapshot) -> str:
    """The failing tests of an instance as a user would name them after --test.

    A row may name a test by its function alone, or by its docstring, as unittest prints it: then its file is named.
    """
    written = [path for path in _WRITTEN.findall(instance.test_patch) if path in snapshot.files and is_test_file(path)]
    names: dict[str, None] = {}
    for test in instance.fail_to_pass:
        if "::" in test or _PRINTED.fullmatch(test):
            names[test.partition("[")[0]] = None
        elif test.isidentifier():
            holding = (path for path in written if f"def {test}(" in snapshot.read_text(path))
            names.update((f"{path}::{test}", None) for path in holding)
        else:
            names.update(dict.fromkeys(written))
    return shlex.join(names or written)


def _cut(ranking: Ranking) -> Ranking:
    return replace(ranking, files=ranking.files[:RANKED], symbols=ranking.symbols[:RANKED])


def _nothing(message: str) -> None:
    """Progress of an installation, which another process shows."""
