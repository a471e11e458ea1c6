"""One call of a local model that reorders the best files of a ranking.

The model is asked which file must change and says nothing: the call reads off how likely it is to answer with the path
of each candidate, once after the issue and once after no issue at all. The difference is what the issue tells the model
about a path, free of how likely that path is anyway (a label's or a place's pull has no part in it: there is no list).
Candidates cost only the tokens in which their paths differ, and the issue stands first, as in every stage of `fix`.

Invariant: the same files in another order. Places keep their scores, so that whatever reads scores still can.
"""

import contextlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import BadInput
from patchwright_engine.model.backend import JudgeRequest, LanguageModel
from patchwright_engine.model.grammar import as_choices
from patchwright_engine.model.prompting import conversation, render
from patchwright_engine.types import Issue, RankedFile, Ranking

if TYPE_CHECKING:
    from patchwright_engine.model.catalog import ResolvedModel

CANDIDATES = 30
ISSUE_TOKENS = 350
"""Of the issue, its beginning and its end: reading is what costs the seconds."""
NO_ISSUE = "N/A"
LEAST = 1e-9
"""Share of a file that counts as none."""
SIGNAL = "model"
SURE = 0.8
"""Share of the first file from which on it stays first: six of seven such firsts are right, and the model's opinion of
them is not worth its seconds."""
WEIGHT = 0.2
"""Of the model's opinion in nats, against the index's log-odds: 0.25 is likeliest on the 82 issues that were measured,
0.15 to 0.25 rank alike (`benchmarks/LOG.md`)."""
_COMMENTS = re.compile(r"<!--.*?-->", re.DOTALL)
_BLANK_LINES = re.compile(r"\n\s*\n")
_HEAD = 2 / 3
_LEFT_OUT = "\n[... left out ...]\n"


def rerank(issue: Issue, ranking: Ranking, model: LanguageModel, cancel: CancelToken) -> Ranking:
    """`ranking` with its best `CANDIDATES` files in the order that index and model together give; symbols stay.

    The signal `SIGNAL` of a file is its share among the candidates, 0-1, by the model alone. Where the index is sure of
    its first file the model is not asked.

    Raises:
        BadInput: the model cannot weigh answers, as one behind a URL.
        Cancelled, ModelHostLost, ModelUnavailable: as `LanguageModel.judge`.
    """
    shown = ranking.files[:CANDIDATES]
    if len(shown) < 2 or is_sure(shown):
        return ranking
    paths = tuple(file.path for file in shown)
    if not as_choices(paths):
        return ranking  # a path that no answer can spell
    text = shortened(issue.text, model.count_tokens)
    asked = [conversation(about, render("rerank")) for about in (text, NO_ISSUE)]
    after, before = model.judge([JudgeRequest(messages, answers=paths) for messages in asked], cancel)
    if not after.weights or not before.weights:
        raise _cannot_weigh(model.name)
    told = [with_issue - without for with_issue, without in zip(after.weights, before.weights, strict=True)]
    return replace(ranking, files=(*_reordered(shown, told), *ranking.files[CANDIDATES:]))


def rerank_with(spec: str | None, issue: Issue, ranking: Ranking, cancel: CancelToken) -> Ranking:
    """As `rerank`, with the model that `spec` names as `--model` does (None: the default one), opened only if needed.

    Raises: as `rerank`, `reranking_model` and `connect.open_model`.
    """
    from patchwright_engine.model.connect import open_model

    resolved = reranking_model(spec)
    if len(ranking.files) < 2 or is_sure(ranking.files[:CANDIDATES]):
        return ranking
    with contextlib.closing(open_model(resolved, cancel=cancel)) as model:
        return rerank(issue, ranking, model, cancel)


def reranking_model(spec: str | None) -> "ResolvedModel":
    """As `catalog.resolve_model`, which see for what it raises; a URL is BadInput here."""
    from patchwright_engine.config import load_settings
    from patchwright_engine.model.catalog import resolve_model

    resolved = resolve_model(spec, load_settings())
    if resolved.kind == "url":
        raise _cannot_weigh(resolved.name)
    return resolved


def _cannot_weigh(name: str) -> BadInput:
    return BadInput(
        f"{name} cannot tell how likely it finds an answer",
        "Re-rank with a model that runs here (`patchwright models list`), or without.",
    )


def _reordered(files: Sequence[RankedFile], told: Sequence[float]) -> list[RankedFile]:
    """`told`: nats for each of `files`."""
    top = max(told)
    shares = [math.exp(value - top) for value in told]
    mixed = [math.log(max(file.score, LEAST)) + WEIGHT * value for file, value in zip(files, told, strict=True)]
    order = sorted(range(len(files)), key=lambda i: (-mixed[i], i))
    return [
        replace(
            files[old],
            score=files[place].score,
            signals={**files[old].signals, SIGNAL: shares[old] / sum(shares)},
        )
        for place, old in enumerate(order)
    ]


def is_sure(files: Sequence[RankedFile]) -> bool:
    """Whether the index's first of these is so likely that nobody else need be asked."""
    return files[0].score >= SURE


def shortened(text: str, count_tokens: Callable[[str], int]) -> str:
    """The issue in about `ISSUE_TOKENS`: without comments of its template and blank lines, then without its middle."""
    text = _BLANK_LINES.sub("\n", _COMMENTS.sub("", text)).strip()
    tokens = count_tokens(text)
    if tokens <= ISSUE_TOKENS:
        return text
    kept = int(len(text) * ISSUE_TOKENS / tokens)
    head = int(kept * _HEAD)
    return f"{text[:head]}{_LEFT_OUT}{text[len(text) - (kept - head) :]}"
