"""What of a definition an issue is about: the statements that its traceback, its quoted code, its names and words meet.

Invariant: the issue is untrusted text that is only ever matched against; it can move what is shown first, nothing else.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from patchwright_engine.index.lexical import word_terms
from patchwright_engine.localize.mentions import IDENTIFIER, read_mentions
from patchwright_engine.localize.traceback import PathMatcher, find_frames
from patchwright_engine.types import Issue, RepoPath

QUOTED_WEIGHT = 8.0
FRAME_WEIGHT = 4.0
NAME_WEIGHT = 3.0
TERM_WEIGHT = 0.5
PROSE_FACTOR = 0.1
"""Docstrings share most words with an issue and are rarely what must change."""
_SHORTEST_QUOTE = 8
_PROMPT = re.compile(r"^(?:>>>|\.\.\.|>|E|-+>|\d+|[|+-])\s+|^[>|]\s*")
"""What stands before a line of code that a terminal or a diff shows."""


@dataclass(frozen=True, slots=True)
class Focus:
    """What one issue says about single lines of code; one that says nothing has every line matter alike."""

    names: Mapping[str, float] = field(default_factory=dict)
    terms: Mapping[str, float] = field(default_factory=dict)
    quoted: frozenset[str] = frozenset()
    """Lines of the issue as they might stand in a source file."""
    frames: Mapping[RepoPath, frozenset[int]] = field(default_factory=dict)
    """Lines that its traceback names; of the reporter's version, so only a hint."""


def read_focus(issue: Issue, files: Iterable[RepoPath]) -> Focus:
    """What `issue` says about lines of `files`."""
    mentions = read_mentions(issue)
    frames: defaultdict[RepoPath, set[int]] = defaultdict(set)
    for frame in find_frames(mentions.text, PathMatcher(files)):
        if frame.line is not None:
            frames[frame.path].add(frame.line)
    if issue.path is not None and issue.line is not None:
        frames[issue.path].add(issue.line)
    quoted = {_bare(line) for line in mentions.text.split("\n")}
    return Focus(
        names=mentions.names,
        terms=mentions.terms,
        quoted=frozenset(line for line in quoted if len(line) >= _SHORTEST_QUOTE),
        frames={path: frozenset(lines) for path, lines in frames.items()},
    )


def relevance(focus: Focus, path: RepoPath, units: Sequence[Sequence[tuple[int, str]]]) -> list[float]:
    """How much each unit, given as its lines with their numbers, matters for the issue.

    A name or word that most of the units have says little about each. 1 stands for nothing in common.
    """
    words = [{word for _, line in unit for word in IDENTIFIER.findall(line)} for unit in units]
    terms = [{term for word in found for term in word_terms(word)} for found in words]
    common = Counter(word for found in words for word in found)
    common_terms = Counter(term for found in terms for term in found)
    marked = focus.frames.get(path, frozenset())
    scores = []
    for unit, found, parts in zip(units, words, terms, strict=True):
        score = 1.0
        score += QUOTED_WEIGHT * any(line.strip() in focus.quoted for _, line in unit)
        score += FRAME_WEIGHT * any(number in marked for number, _ in unit)
        score += NAME_WEIGHT * sum(focus.names[w] / (1 + math.log(common[w])) for w in found if w in focus.names)
        score += TERM_WEIGHT * sum(
            min(focus.terms[t], 4.0) / (1 + math.log(common_terms[t])) for t in parts if t in focus.terms
        )
        scores.append(score)
    return scores


def _bare(line: str) -> str:
    """A line without what a terminal, a mail or a diff puts before it."""
    bare = line.strip()
    return _PROMPT.sub("", bare).strip()
