"""Where the developer's fix stands in our rankings, one real issue after the other; no model.

Each issue is located in its base commit's source files with the history before it, as a user would have them.
Invariant: an instance that cannot be set up is reported as such and is in no share.
"""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.bench.checkout import check_out_sources, find_any_mirror
from patchwright_engine.bench.instances import LocalizationInstance
from patchwright_engine.bench.packing import Packed, pack_instance
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import PatchwrightError
from patchwright_engine.index import open_index
from patchwright_engine.localize import locate
from patchwright_engine.model.tokenizer import Tokenizer
from patchwright_engine.syntax.languages import language_of
from patchwright_engine.types import Issue
from patchwright_engine.workspace.snapshot import take_snapshot

RANKED = 100
"""Places of a ranking that are looked at."""
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Work:
    """One instance and where its things are."""

    instance: LocalizationInstance
    repos: Path
    cache: Path
    """Below it the index of each repository, shared by its instances: most files are the same in all."""
    scratch: Path
    budgets: tuple[int, ...] = ()
    """Tokens to pack the context to, by the tokenizer of `model`; empty: no context is packed."""
    model: Path | None = None


@dataclass(frozen=True, slots=True)
class Located:
    """What came of one instance."""

    instance_id: str
    repo: str
    file_ranks: tuple[int | None, ...] = ()
    """Of each gold file, from 1; None below the first `RANKED`."""
    symbol_ranks: tuple[int | None, ...] = ()
    files: tuple[str, ...] = ()
    """The first `SHOWN`."""
    symbols: tuple[str, ...] = ()
    indexed: int = 0
    """Files in the index."""
    seconds: float = 0.0
    """For the ranking, the index being there."""
    index_seconds: float = 0.0
    packed: tuple[Packed, ...] = ()
    """What of the fix is in the packed context, a budget each."""
    problem: str = ""
    """Why it could not be located at all."""


def locate_instance(work: Work) -> Located:
    """Check out, index and rank one instance; whatever goes wrong is in the answer."""
    instance = work.instance
    try:
        mirror = find_any_mirror(work.repos, instance.repo, instance.base_commit)
        with tempfile.TemporaryDirectory(dir=work.scratch, prefix="tree-") as name:
            tree = Path(name) / instance.repo.rpartition("/")[2]
            check_out_sources(mirror, instance.base_commit, tree, lambda path: language_of(path) is not None)
            return _locate(work, tree, work.cache / instance.repo.replace("/", "+"))
    except (PatchwrightError, OSError) as error:
        return Located(instance.instance_id, instance.repo, problem=str(error))


def _locate(work: Work, tree: Path, index_name: Path) -> Located:
    instance = work.instance
    started = time.perf_counter()
    snapshot = take_snapshot(tree)
    with open_index(index_name, index_name.parent) as index:
        report = index.refresh(snapshot, CancelToken())
        indexed = time.perf_counter()
        ranking = locate(Issue(instance.problem), snapshot, index, RANKED)
        seconds = time.perf_counter() - indexed
        packed: tuple[Packed, ...] = ()
        if work.budgets and work.model is not None:
            with Tokenizer(work.model) as tokenizer:
                packed = pack_instance(
                    instance, ranking, snapshot, index, count_tokens=tokenizer.count, budgets=work.budgets
                )
    files = [item.path for item in ranking.files]
    symbols = list(dict.fromkeys(f"{item.symbol.path}::{item.symbol.name}" for item in ranking.symbols))
    return Located(
        instance.instance_id,
        instance.repo,
        file_ranks=tuple(_rank(files, gold) for gold in instance.gold_files),
        symbol_ranks=tuple(_rank(symbols, gold) for gold in instance.gold_symbols),
        files=tuple(files[:SHOWN]),
        symbols=tuple(symbols[:SHOWN]),
        indexed=report.files,
        seconds=round(seconds, 4),
        index_seconds=round(indexed - started, 3),
        packed=packed,
    )


def _rank(ranked: Sequence[str], gold: str) -> int | None:
    return ranked.index(gold) + 1 if gold in ranked else None
