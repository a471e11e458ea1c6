"""Repository understanding (paper §3.1): a repo map within its token share → N file sets → the best k.

A hard cut here kills paths that localization would save, so at least two sets and the index's own best stay.
"""

import re
from collections import Counter
from dataclasses import dataclass

from patchwright_engine.localize.context import repo_map
from patchwright_engine.model.backend import Completion, CompletionRequest, Message
from patchwright_engine.model.grammar import as_choices
from patchwright_engine.search.job import MAP_SHARE, Job, stage_prompt
from patchwright_engine.types import FileSet, RepoPath

CANDIDATES = 4
KEEP_SETS = 2
KEEP_FROM_INDEX = 2
MAX_FILES = 5
ANSWER_TOKENS = 160


@dataclass(frozen=True, slots=True)
class ScoredFileSet:
    """A file set with the PRM's P(correct), None when the backend gives none."""

    files: FileSet
    prm: float | None


@dataclass(frozen=True, slots=True)
class FileAnswers:
    """N answers to one prompt, in candidate order."""

    asked: tuple[Message, ...]
    answers: tuple[Completion, ...]
    named: tuple[tuple[RepoPath, ...], ...]
    """The known files that each answer names."""


def ask_for_files(job: Job, n: int) -> FileAnswers:
    """Ask N times which files the issue is about."""
    job.report("understand", "reading the repository map")
    shown = repo_map(job.ranking, job.snapshot, job.index, job.model.count_tokens, job.tokens(MAP_SHARE))
    job.note_dropped("understand", shown.dropped)
    known = frozenset(job.index.files())
    absent = set(shown.dropped)
    offered = [file.path for file in job.ranking.files if file.path in known and file.path not in absent]
    asked = stage_prompt(job, "understand", map=shown.text)
    answers = job.ask(
        "understand",
        CompletionRequest(
            asked,
            n=n,
            seed=job.seed,
            max_answer_tokens=ANSWER_TOKENS,
            choices=as_choices(offered),
            max_choices=MAX_FILES,
        ),
    )
    return FileAnswers(asked, answers, tuple(parse_paths(answer.answer, known) for answer in answers))


def understand(job: Job) -> tuple[RepoPath, ...]:
    """Files to search for the fault, best first."""
    given = ask_for_files(job, CANDIDATES)
    answers = given.answers
    said = {paths: answer.answer for paths, answer in zip(reversed(given.named), reversed(answers), strict=True)}
    votes = Counter(paths for paths in given.named if paths)
    sets = [FileSet(paths, count) for paths, count in votes.most_common()]
    texts = [said[files.paths] for files in sets]
    verdicts = job.judge_answers("understand", given.asked, texts) if len(sets) > 1 else (None,) * len(sets)
    scored = [ScoredFileSet(files, prm) for files, prm in zip(sets, verdicts, strict=True)]
    scored.sort(key=lambda s: s.files.votes / len(answers) + (0.5 if s.prm is None else s.prm), reverse=True)
    kept = [path for s in scored[:KEEP_SETS] for path in s.files.paths]
    kept += [ranked.path for ranked in job.ranking.files[:KEEP_FROM_INDEX]]
    files = tuple(dict.fromkeys(kept))[: MAX_FILES + KEEP_FROM_INDEX]
    job.trace.step(
        "file_sets",
        candidates=[{"paths": list(s.files.paths), "votes": s.files.votes, "prm": s.prm} for s in scored],
        kept=list(files),
    )
    return files


def parse_paths(answer: str, known: frozenset[RepoPath]) -> tuple[RepoPath, ...]:
    """Known file paths named in an answer, in order: a line that is one, or words in it.

    A path's unique tail counts as the path.
    """
    found: list[RepoPath] = []
    for line in answer.split("\n"):
        for token in [line] if line in known else re.findall(r"[\w./\-]+\.\w+", line):
            name = token.removeprefix("./")
            if name in known:
                found.append(RepoPath(name))
                continue
            tails = [path for path in known if path.endswith("/" + name)]
            if len(tails) == 1:
                found.append(tails[0])
    return tuple(dict.fromkeys(found))[:MAX_FILES]
