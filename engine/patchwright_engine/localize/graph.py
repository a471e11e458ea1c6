"""Signal: files next to the best ones in the import graph."""

import math
from collections import defaultdict
from collections.abc import Mapping

from patchwright_engine.index import Index
from patchwright_engine.localize.lexical import best_of, normalised
from patchwright_engine.types import RepoPath

SEEDS = 15


def graph_files(scores: Mapping[RepoPath, float], index: Index) -> dict[RepoPath, float]:
    """What the best files lend to those they import and those that import them, 0-1.

    A file with many neighbours lends little to each: a package's `__init__` is next to everything.
    """
    seeds = best_of(scores, SEEDS, str)
    lent: defaultdict[RepoPath, float] = defaultdict(float)
    for seed in seeds:
        for neighbours in (index.imported_files(seed), index.importers(seed)):
            for path in neighbours:
                lent[path] += scores[seed] / math.sqrt(len(neighbours))
    return normalised({path: score for path, score in lent.items() if path in scores or score > 0})
