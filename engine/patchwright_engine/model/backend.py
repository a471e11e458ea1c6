"""The seam between search and any model: the `LanguageModel` protocol and the values that cross it.

Implementations: `client.HostedModel` (llama.cpp in the model host), `openai.OpenAIModel` (a server the user runs).
All are synchronous, called from a job's own thread, and feel a cancel within half a second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from patchwright_engine.control import CancelToken


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message; `role` is 'system', 'user' or 'assistant'."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """N answers to one conversation: one prefill, N sequences.

    Messages are laid out with what is stable first, so that prefixes are shared between requests.
    """

    messages: tuple[Message, ...]
    n: int = 1
    max_answer_tokens: int = 512
    max_think_tokens: int = 0
    """Cap on the `<think>` block for models that think, apart from the answer's; 0 asks for none. A thought that
    reaches it, or goes round, is closed, and the answer comes all the same."""
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0
    """Candidate i is sampled with seed `seed + i`; equal requests give equal answers on one machine."""
    first_greedy: bool = True
    """Candidate 0 is decoded at temperature 0."""
    stop: tuple[str, ...] = ()
    answer_prefix: str = ""
    """Forced beginning of every answer (e.g. an opened code fence); included in `Completion.answer`."""
    reference: str = ""
    """What the answer would mostly copy, as it stands behind `answer_prefix`. Each candidate then leaves it at another
    place, where the model most wants to (see `diverge.py`); the first one is the greedy answer, unless that is a
    copy. Backends that cannot read logits, and models that think first, sample freely instead."""
    skip_divergences: int = 0
    """Divergences that earlier requests have used up."""
    adapter: str = ""
    """Role whose adapter is to answer; the base model where none is installed for it."""
    choices: tuple[str, ...] = ()
    """When given, an answer is one to `max_choices` of these names, one a line, and nothing else (see `grammar.py`).
    Not for code, nor together with `reference` or `answer_prefix`. Backends without grammars answer freely."""
    max_choices: int = 1


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer. `think` is never fed back into later prompts (paper §2)."""

    answer: str
    think: str = ""
    tokens: int = 0
    """Thoughts included."""
    finish: str = "stop"
    """'stop', 'length' (a cap was hit: the text is cut) or 'loop' (repetition detected and cut)."""
    mean_logprob: float | None = None
    think_tokens: int = 0
    """Part of `tokens` that was thought; shared out by length where a server tells the sum alone."""
    think_end: str = ""
    """How the thought ended: 'closed' by the model, at its cap ('length'), as it went round ('loop'), 'stop' where the
    model ended everything in the middle of it; '' without one."""


@dataclass(frozen=True, slots=True)
class CompletionBatch:
    """All answers to one request, in candidate order, with what they cost."""

    completions: tuple[Completion, ...]
    prompt_tokens: int
    cached_tokens: int
    """Part of `prompt_tokens` that was not computed again."""
    generated_tokens: int
    seconds: float

    @property
    def thought_tokens(self) -> int:
        """Part of `generated_tokens` that was thought."""
        return sum(one.think_tokens for one in self.completions)


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """A conversation whose next token is one of two words; the score is P(yes) among the two.

    With `answers` it is weighed instead how likely each of them is as the whole next line (see `weigh.py`).
    """

    messages: tuple[Message, ...]
    yes: str = "Yes"
    no: str = "No"
    adapter: str = ""
    """Role whose adapter is to judge; the base model (zero-shot) where none is installed for it. Activated adapters
    do not act on `answers`."""
    answers: tuple[str, ...] = ()
    """Short lines, such as names; each costs about the tokens that none before it begins with."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """P(yes) in 0-1, renormalised over the two words. None: the backend cannot give probabilities, or gave weights."""

    probability: float | None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    weights: tuple[float, ...] = ()
    """Log-probability (nats, below 0) of each of the request's `answers`, in order; none where the backend cannot."""


@dataclass(frozen=True, slots=True)
class DecodeProgress:
    """How decoding goes, reported a few times a second."""

    prompt_tokens: int
    prompt_done: int
    generated_tokens: int
    tokens_per_second: float
    waiting: bool = False
    """Nothing is computed yet: the model works for another window or program."""


class LanguageModel(Protocol):
    """A model that can answer and judge."""

    @property
    def name(self) -> str:
        """Shown to users and written to traces."""
        ...

    @property
    def context_tokens(self) -> int:
        """Tokens one sequence may hold, prompt and answer together."""
        ...

    @property
    def cpu_threads(self) -> int:
        """Cores of this machine that it keeps busy while it answers; 0 when another machine computes."""
        ...

    def count_tokens(self, text: str) -> int:
        """Tokens of plain text, without chat markup; an upper estimate where the tokenizer is out of reach."""
        ...

    def complete(
        self,
        request: CompletionRequest,
        cancel: CancelToken,
        *,
        on_progress: Callable[[DecodeProgress], None] | None = None,
        on_completion: Callable[[int, Completion], None] | None = None,
    ) -> CompletionBatch:
        """Answer `request`. `on_completion` is called with (index, answer) as each candidate ends.

        Raises:
            Cancelled: the token was cancelled.
            BadInput: the prompt does not fit the context (prompts are budgeted before; never truncated here).
            ModelHostLost: the model died repeatedly on this request.
        """
        ...

    def judge(self, requests: Sequence[JudgeRequest], cancel: CancelToken) -> tuple[Verdict, ...]:
        """P(yes), or the weights of its answers, for each conversation, in order. Raises as `complete`."""
        ...

    def close(self) -> None:
        """Release the connection; the model host itself lives on for others."""
        ...
