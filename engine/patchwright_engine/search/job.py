"""What every stage of one job shares, and the few helpers that turn it into prompts, progress and trace lines."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from patchwright_engine.control import CancelToken, Progress, ProgressSink
from patchwright_engine.index import Index
from patchwright_engine.localize.context import FittedText, code_excerpts
from patchwright_engine.localize.focus import read_focus
from patchwright_engine.model.backend import Completion, CompletionRequest, DecodeProgress, JudgeRequest, Message
from patchwright_engine.model.prompting import conversation, render
from patchwright_engine.search.budget import Budget
from patchwright_engine.search.recorder import RecordedModel
from patchwright_engine.search.thinking import Difficulty, think_cap
from patchwright_engine.search.trace import Trace
from patchwright_engine.types import Evidence, Issue, Ranking, Snapshot, Symbol

# Shares of the context window. A prompt is never longer than its share, so an answer always fits behind it.
ISSUE_SHARE = 0.15
MAP_SHARE = 0.15
CODE_SHARE = 0.25
ANSWER_SHARE = 0.25
MESSAGE_TOKENS = 8
"""Markup around one message, at most."""
FENCE_OPEN = "```python\n"
FENCE_CLOSE = "\n```"


@dataclass(slots=True)
class Job:
    """One search under way; owned by one thread."""

    issue: Issue
    snapshot: Snapshot
    index: Index
    ranking: Ranking
    model: RecordedModel
    trace: Trace
    budget: Budget
    seed: int
    cancel: CancelToken
    sink: ProgressSink
    issue_text: str = ""
    """The issue as prompts show it; shortened when it would fill the context, which `notes` then says."""
    notes: list[str] = field(default_factory=list)
    rollouts: int = 0
    best_evidence: Evidence | None = None
    generated_tokens: int = 0
    difficulty: Difficulty = field(default_factory=Difficulty)
    """What the rounds so far have shown; the harder, the longer the model may think."""
    test_seconds: dict[str, float] = field(default_factory=dict)
    """Test file → how long its tests took before any patch; remembered for later jobs."""
    started: float = field(default_factory=time.monotonic)
    telling: threading.Lock = field(default_factory=threading.Lock)
    """Candidates are judged beside the model (see `overlap`); who listens hears one at a time."""

    def tokens(self, share: float) -> int:
        """Prompt tokens for a share of the context window."""
        return int(self.model.context_tokens * share)

    def note(self, text: str) -> None:
        """Tell the user and the trace something they should know, once."""
        if text not in self.notes:
            self.notes.append(text)
            self.trace.step("note", text=text)

    def note_dropped(self, stage: str, dropped: Sequence[str]) -> None:
        """Say what did not fit a prompt: truncation is never silent."""
        if dropped:
            self.trace.step("dropped", stage=stage, what=list(dropped))

    def excerpts(self, symbols: Sequence[Symbol], share: float, *, headed: bool = True) -> FittedText:
        """The code of definitions within a share of the context; of what does not fit, what the issue is about."""
        return code_excerpts(
            symbols,
            self.snapshot,
            self.model.count_tokens,
            self.tokens(share),
            read_focus(self.issue, self.index.files()),
            headed=headed,
        )

    def report(self, stage: str, message: str, tokens_per_second: float | None = None) -> None:
        """Show progress."""
        with self.telling:
            self.sink(
                Progress(
                    stage,
                    message,
                    self.rollouts,
                    self.budget.rollouts,
                    self.generated_tokens,
                    tokens_per_second,
                    self.best_evidence.value if self.best_evidence else None,
                )
            )

    def ask(
        self,
        stage: str,
        request: CompletionRequest,
        on_completion: Callable[[int, Completion], None] | None = None,
    ) -> tuple[Completion, ...]:
        """N answers to one conversation, with live progress; how long thoughts may be is the policy's, within the room.

        Thoughts end here: a stage, and so every later prompt, sees answers alone. `on_completion` hears of each
        answer as it ends, in any order.
        """
        answer = request.max_answer_tokens + self.model.count_tokens(request.answer_prefix)
        cap = think_cap(stage, self.difficulty, self.room(request.messages) - answer)
        request = replace(request, max_think_tokens=cap, adapter="reasoner")
        batch = self.model.complete(
            request,
            self.cancel,
            stage=stage,
            difficulty=self.difficulty.level,
            on_progress=self._decode_progress(stage),
            on_completion=on_completion,
        )
        self.generated_tokens += batch.generated_tokens
        return batch.completions

    def room(self, messages: Sequence[Message]) -> int:
        """Tokens of the context that a conversation leaves for the answer; negative when it does not fit itself."""
        used = sum(self.model.count_tokens(message.content) + MESSAGE_TOKENS for message in messages)
        return self.model.context_tokens - used - 2 * MESSAGE_TOKENS

    def judge_answers(self, stage: str, asked: Sequence[Message], answers: Sequence[str]) -> tuple[float | None, ...]:
        """The PRM's P(right) for each answer to the conversation `asked`, or None as `judge_issue`.

        The verdict goes on from the stage's own prompt, and from the answer when it was just generated, both of
        which the model has read already.
        """
        question = Message("user", render("judge_answer"))
        return self._judge(stage, "prm", [(*asked, Message("assistant", text), question) for text in answers])

    def judge_issue(self, stage: str, questions: Sequence[str]) -> tuple[float | None, ...]:
        """The ORM's P(yes) for each question about the issue, or None where the backend gives no probabilities."""
        return self._judge(stage, "orm", [conversation(self.issue_text, question) for question in questions])

    def _judge(self, stage: str, adapter: str, asked: Sequence[tuple[Message, ...]]) -> tuple[float | None, ...]:
        requests = [JudgeRequest(messages, adapter=adapter) for messages in asked]
        return tuple(verdict.probability for verdict in self.model.judge(requests, self.cancel, stage=stage))

    def _decode_progress(self, stage: str) -> Callable[[DecodeProgress], None]:
        before = self.generated_tokens

        def show(progress: DecodeProgress) -> None:
            self.generated_tokens = before + progress.generated_tokens
            if progress.waiting:
                self.report(stage, "waiting: the model works for another request")
            elif progress.prompt_done < progress.prompt_tokens:
                self.report(stage, f"reading {progress.prompt_done}/{progress.prompt_tokens} tokens")
            else:
                self.report(stage, "writing", progress.tokens_per_second)
            self.generated_tokens = before

        return show


def fit_issue(job: Job) -> str:
    """The issue text within its share of the context: the middle is cut and the cut is said."""
    text = job.issue.text.strip()
    limit = job.tokens(ISSUE_SHARE)
    if job.model.count_tokens(text) <= limit:
        return text
    lines = text.split("\n")
    head, tail = lines, list[str]()
    while len(head) > 1 and job.model.count_tokens("\n".join([*head, *tail])) > limit:
        # Keep twice as much of the beginning as of the end, where tracebacks stop.
        keep = min(len(head) + len(tail) - 1, int((len(head) + len(tail)) * 0.85))
        cut_tail = keep // 3
        head, tail = lines[: keep - cut_tail], lines[len(lines) - cut_tail :] if cut_tail else []
    dropped = len(lines) - len(head) - len(tail)
    short = "\n".join([*head, f"[... {dropped} lines left out ...]", *tail])
    if job.model.count_tokens(short) > limit:  # one enormous line
        size = len(short)
        while job.model.count_tokens(short[:size]) > limit and size > 1:
            size = size * 3 // 4
        short = short[:size] + " [... left out ...]"
    job.note("The issue is longer than the model's context allows; its middle was left out of the prompts.")
    return short


def stage_prompt(job: Job, name: str, **values: str) -> tuple[Message, ...]:
    """A stage's conversation: the issue, then the stage's own prompt."""
    return conversation(job.issue_text, render(name, **values))
