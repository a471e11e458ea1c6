"""Signal: files and functions on the stack of tracebacks (Python, pytest, IPython) and links quoted in the issue.

Stack traces of other languages are read by the patterns of their rows (`stack_formats.py`).

Invariant: a frame counts only when its path can be told apart from all other files of the workspace.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from patchwright_engine.localize.stack_formats import find_places
from patchwright_engine.types import RepoPath

FRAME = re.compile(
    r"""File\ "(?P<file>[^"\n]+)",\ line\ (?P<line>\d+)(?:,\ in\ (?P<function>[\w<>.]+))?   # Python
    | ^(?P<file2>[^\s:`'"]+\.pyi?):(?P<line2>\d+):(?:\ in\ (?P<function2>\w+))?            # pytest, linters
    | ^(?P<file3>[^\s`'"]+\.pyi?)\ in\ (?P<function3>\w+)\(                                 # IPython
    | /blob/[^/\s]{1,200}/(?P<file4>[^\s#)\]]{1,400}\.\w{1,8})\#L(?P<line4>\d+)  # links to code""",
    re.VERBOSE | re.MULTILINE,
)
DECAY = 0.75
"""What a frame is worth against the next inner one: faults lie near the top of the stack."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that is in the workspace. Lines are of the reporter's version, so only a hint."""

    path: RepoPath
    line: int | None
    function: str | None


class PathMatcher:
    """Finds the file that a path from another machine means, by its longest unambiguous ending."""

    def __init__(self, files: Iterable[RepoPath]) -> None:
        self._by_name: defaultdict[str, list[RepoPath]] = defaultdict(list)
        for path in files:
            self._by_name[path.rpartition("/")[2]].append(path)

    def match(self, text: str) -> RepoPath | None:
        """The file `text` names, or None when there is none or more than one candidate."""
        wanted = [part for part in text.replace("\\", "/").split("/") if part not in ("", ".", "..", "~")]
        if not wanted:
            return None
        scored = [
            (_common_ending(wanted, PurePosixPath(path).parts), path) for path in self._by_name.get(wanted[-1], ())
        ]
        if not scored:
            return None
        best = max(length for length, _ in scored)
        winners = [path for length, path in scored if length == best]
        if len(winners) > 1 or (best == 1 and wanted[-1] == "__init__.py"):
            return None
        if best == 1 and len(wanted) > 1 and "/" in winners[0]:
            return None  # Only the base name agrees: some other project's file of that name.
        return winners[0]


def find_frames(text: str, matcher: PathMatcher) -> tuple[Frame, ...]:
    """Frames of the workspace, outermost first: in the order of the text as Python prints them, others before."""
    frames: list[Frame] = []
    for place in find_places(text):
        path = matcher.match(place.file)
        if path is not None:
            frames.append(Frame(path, place.line, place.function))
    for match in FRAME.finditer(text):
        groups = match.groupdict()
        file = groups["file"] or groups["file2"] or groups["file3"] or groups["file4"]
        path = matcher.match(file)
        if path is not None:
            line = groups["line"] or groups["line2"] or groups["line4"]
            function = groups["function"] or groups["function2"] or groups["function3"]
            frames.append(Frame(path, int(line[:9]) if line else None, function))
    return tuple(frames)


def traceback_files(frames: Sequence[Frame]) -> dict[RepoPath, float]:
    """Score of each file on the stack: 1 for the innermost, less the further out."""
    scores: dict[RepoPath, float] = {}
    for distance, path in enumerate(dict.fromkeys(frame.path for frame in reversed(frames))):
        scores[path] = DECAY**distance
    return scores


def _common_ending(wanted: Sequence[str], parts: Sequence[str]) -> int:
    length = 0
    for one, other in zip(reversed(wanted), reversed(parts), strict=False):
        if one != other:
            break
        length += 1
    return length
