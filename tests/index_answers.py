"""Everything that an index answers, to compare two of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from patchwright_engine.control import CancelToken
from patchwright_engine.index import Index, open_index
from patchwright_engine.types import Snapshot

NAMES = ("first", "second", "Thing", "Thing.second", "LIMIT", "broken")
QUERY = {"first": 2.0, "thing": 1.0, "limit": 1.0, "word": 1.0, "value": 0.5}


def said(index: Index, names: Sequence[str] = NAMES) -> dict[str, Any]:
    """What an index says about each file, name and term, as plain values that compare across processes."""
    files = index.files()
    scores = index.search(QUERY)
    answers = {
        "files": files,
        "symbols": {path: [asdict(symbol) for symbol in index.symbols(path)] for path in files},
        "imports": {path: index.imported_files(path) for path in files},
        "importers": {path: index.importers(path) for path in files},
        "used": {path: index.names_used(path) for path in files},
        "named": {name: [asdict(symbol) for symbol in index.find_symbols(name)] for name in names},
        "references": {name: index.references(name) for name in names},
        "scores": {path: round(score, 9) for path, score in sorted(scores.files.items())},
        "units": sorted([path, position, round(score, 9)] for (path, position), score in scores.units.items()),
    }
    plain = json.loads(json.dumps(answers))
    assert isinstance(plain, dict)
    return plain


def said_fresh(snapshot: Snapshot, cache: Path) -> dict[str, Any]:
    """What an index says that has never seen anything but `snapshot`; `cache` must not exist."""
    assert not cache.exists()
    with open_index(snapshot.root, cache) as fresh:
        fresh.refresh(snapshot, CancelToken())
        return said(fresh)
