"""Signals: paths and modules that the issue names, and words it shares with the words of a path."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from patchwright_engine.index import Index
from patchwright_engine.index.lexical import WORD, term_counts, word_terms
from patchwright_engine.localize.mentions import Mentions
from patchwright_engine.localize.traceback import PathMatcher
from patchwright_engine.types import RepoPath

OF_PACKAGE = 0.5
"""What the name of a package says of its `__init__`, which mostly passes on what others define."""


def named_files(mentions: Mentions, matcher: PathMatcher) -> dict[RepoPath, float]:
    """Files whose path the issue spells out."""
    found = (matcher.match(text) for text in mentions.paths)
    return {path: 1.0 for path in found if path is not None}


def named_modules(names: Iterable[str], index: Index) -> dict[RepoPath, float]:
    """Files that dotted names are or begin with, as 'pkg.mod' and 'pkg.mod.function' do; 0-1."""
    scores: dict[RepoPath, float] = {}
    modules = index.modules()
    for name in names:
        parts = name.split(".")
        beginnings = (".".join(parts[:count]) for count in range(len(parts), 1, -1))
        found = next(filter(None, map(modules.files_of, beginnings)), ())
        for path in found:
            worth = OF_PACKAGE if PurePosixPath(path).stem == "__init__" else 1.0
            scores[path] = max(scores.get(path, 0.0), worth / len(found))
    return scores


class PathWords:
    """The words of all paths of a view: made once (`index.of_files(PathWords)`), asked for each issue."""

    def __init__(self, files: Iterable[RepoPath]) -> None:
        self._paths: defaultdict[str, list[RepoPath]] = defaultdict(list)
        self._files = 0
        of_part: dict[str, frozenset[str]] = {}
        """Folders are shared by many paths, so their words are read once."""
        for path in files:
            self._files += 1
            *folders, name = path.split("/")
            parts = (*folders, _stem(name))
            for part in parts:
                if part not in of_part:
                    of_part[part] = frozenset(term_counts(part))
            for word in frozenset().union(*(of_part[part] for part in parts)):
                self._paths[word].append(path)

    def score(self, terms: Mapping[str, float]) -> dict[RepoPath, float]:
        """How much of a file's path the words cover, rare path words first; 0-1."""
        scores: defaultdict[RepoPath, float] = defaultdict(float)
        for word, weight in terms.items():
            found = self._paths.get(word, ())
            worth = math.log(1 + self._files / len(found)) * min(1.0, weight / 2) if found else 0.0
            for path in found if worth else ():
                scores[path] += worth
        best = max(scores.values(), default=1.0)
        return {path: score / best for path, score in scores.items()}

    def files_with(self, word: str) -> int:
        """How many paths hold a word."""
        return len(self._paths.get(word, ()))


class FileNames:
    """Files by their name without extension: made once (`index.of_files(FileNames)`), asked for each issue."""

    def __init__(self, files: Iterable[RepoPath]) -> None:
        self._files: defaultdict[str, list[RepoPath]] = defaultdict(list)
        for path in files:
            name = _stem(path.rpartition("/")[2]).strip("_").lower()
            if name != "init":
                for spelling in {name, name.replace("_", "")}:
                    self._files[spelling].append(path)

    def score(self, text: str, rarity: Mapping[str, float]) -> dict[RepoPath, float]:
        """Files that are called like a word of `text`, by how rare the word is (0-1) and how few files share the name.

        'inspectdb' in prose means inspectdb.py, though nobody marks it as code.
        """
        scores: dict[RepoPath, float] = {}
        for word in {word.lower().strip("_") for word in WORD.findall(text)}:
            worth = max((rarity.get(term, 0.0) for term in word_terms(word)), default=0.0)
            for spelling in {word, word.rstrip("s"), f"{word}s"} if worth else ():
                found = self._files.get(spelling, ())
                for path in found:
                    scores[path] = max(scores.get(path, 0.0), worth / (1 + math.log(len(found))))
        return scores


def without_extension(path: RepoPath) -> str:
    """A path without the extension of its file."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{_stem(name)}"


def _stem(name: str) -> str:
    """A file's name without its extension, as `PurePath.stem` has it."""
    dot = name.rfind(".")
    return name[:dot] if 0 < dot < len(name) - 1 else name
