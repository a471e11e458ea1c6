"""Where the developer's fix stands in our rankings, one real issue after the other; a model only to re-rank.

Each issue is located in its base commit's source files with the history before it, as a user would have them.
Invariant: an instance that cannot be set up is reported as such and is in no share.
"""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from patchwright_engine.bench.checkout import check_out_sources, find_any_mirror
from patchwright_engine.bench.instances import LocalizationInstance
from patchwright_engine.bench.packing import Packed, pack_instance
from patchwright_engine.control import CancelToken
from patchwright_engine.errors import PatchwrightError
from patchwright_engine.index import open_index
from patchwright_engine.localize.combine import Signals, gather, rank
from patchwright_engine.localize.rerank import rerank_with
from patchwright_engine.model.tokenizer import Tokenizer
from patchwright_engine.syntax.languages import language_of
from patchwright_engine.types import Issue, Ranking
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
    signals: Path | None = None
    """Folder for what the ranking was made from, one file an instance: the weights are learned from these."""
    rerank: str | None = None
    """The model that reorders the best files; None: none does."""
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
    rerank_seconds: float = 0.0
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
            return _locate(work, tree)
    except (PatchwrightError, OSError) as error:
        return Located(instance.instance_id, instance.repo, problem=str(error))


def _locate(work: Work, tree: Path) -> Located:
    instance, index_name = work.instance, work.cache / work.instance.repo.replace("/", "+")
    started = time.perf_counter()
    snapshot = take_snapshot(tree)
    with open_index(index_name, index_name.parent) as index:
        report = index.refresh(snapshot, CancelToken())
        indexed = time.perf_counter()
        signals = gather(Issue(instance.problem), snapshot, index, RANKED, CancelToken())
        ranking = rank(signals, None, RANKED)
        seconds = time.perf_counter() - indexed
        if work.signals is not None:
            write_signals(work.signals, instance, signals)
        if work.rerank is not None:
            ranking = rerank_with(work.rerank, Issue(instance.problem), ranking, CancelToken())
        reranked = time.perf_counter()
        packed: tuple[Packed, ...] = ()
        if work.budgets and work.model is not None:
            with Tokenizer(work.model) as tokenizer:
                packed = pack_instance(
                    instance, ranking, snapshot, index, count_tokens=tokenizer.count, budgets=work.budgets
                )
    return replace(
        ranks_in(ranking, instance),
        indexed=report.files,
        seconds=round(seconds, 4),
        index_seconds=round(indexed - started, 3),
        rerank_seconds=round(reranked - indexed - seconds, 3) if work.rerank is not None else 0.0,
        packed=packed,
    )


def ranks_in(ranking: Ranking, instance: LocalizationInstance) -> Located:
    """Where the fix of an instance stands in a ranking."""
    files = [item.path for item in ranking.files]
    symbols = list(dict.fromkeys(f"{item.symbol.path}::{item.symbol.name}" for item in ranking.symbols))
    return Located(
        instance.instance_id,
        instance.repo,
        file_ranks=tuple(_rank(files, gold) for gold in instance.gold_files),
        symbol_ranks=tuple(_rank(symbols, gold) for gold in instance.gold_symbols),
        files=tuple(files[:SHOWN]),
        symbols=tuple(symbols[:SHOWN]),
    )


def write_signals(folder: Path, instance: LocalizationInstance, signals: Signals) -> None:
    """Write what a ranking was made from, with the gold: {"repo","files","symbols","gold_files","gold_symbols"}."""
    content = {
        "instance_id": instance.instance_id,
        "repo": instance.repo,
        "gold_files": instance.gold_files,
        "gold_symbols": instance.gold_symbols,
        "files": {path: _rounded(own) for path, own in signals.files.items()},
        "symbols": [[symbol.path, symbol.name, _rounded(own)] for symbol, own in signals.symbols.items()],
    }
    (folder / f"{instance.instance_id}.json").write_text(json.dumps(content), "utf-8")


def _rounded(signals: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in signals.items()}


def _rank(ranked: Sequence[str], gold: str) -> int | None:
    return ranked.index(gold) + 1 if gold in ranked else None
