"""The values of the chat completions API: request bodies out, answers, verdicts and usage in.

Invariant: nothing a server sends can raise here; what is missing or odd is left out.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from patchwright_engine.model.backend import Completion, CompletionRequest, JudgeRequest, Message
from patchwright_engine.model.grammar import choices_grammar
from patchwright_engine.model.thinking import ThinkStyle, settle, split_thoughts, think_format

TOP_LOGPROBS = 20
NOT_OPENAI = (
    "chat_template_kwargs",
    "continue_final_message",
    "add_generation_prompt",
    "grammar",
    "thinking_budget_tokens",
)
"""Fields that llama-server and vLLM know, most servers ignore, and some refuse."""

GO_ON = {"continue_final_message": True, "add_generation_prompt": False}
"""vLLM goes on from a last assistant message when told so, llama-server unasked; others begin anew."""
BEGUN = "Answer:\n"
"""What an answer goes on from where nothing else keeps a model from thinking first."""


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """What a server says about itself; None where it says nothing."""

    model: str
    context_tokens: int | None = None
    slots: int | None = None
    """llama-server only: requests it decodes side by side, each slot keeping the prompt it saw last."""
    batches: bool = False
    """Known to decode requests side by side."""
    thinks: ThinkStyle | None = None
    """llama-server only, whose chat template says it."""

    @property
    def straight(self) -> bool:
        """Whether the model is known not to think first."""
        return self.thinks is ThinkStyle.NEVER


def facts_of(models: dict[str, Any], props: dict[str, Any]) -> Facts:
    """From the replies to `GET /v1/models` and llama-server's `GET /props` (empty elsewhere)."""
    listed = models.get("data")
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    meta = first.get("meta")
    context = _count(first.get("max_model_len")) or (_count(meta.get("n_ctx")) if isinstance(meta, dict) else 0)
    slots = _count(props.get("total_slots"))
    batches = slots > 1 or "max_model_len" in first
    template = props.get("chat_template")
    thinks = think_format(template).style if isinstance(template, str) else None
    return Facts(str(first.get("id") or "default"), context or None, slots or None, batches, thinks)


@dataclasses.dataclass(slots=True)
class Usage:
    """Tokens over all replies to one request; a prompt sent again counts once."""

    prompt: int = 0
    cached: int = 0
    generated: int = 0
    thought: int | None = None
    """Part of `generated` that was thought; None where the server does not tell."""

    def add(self, reply: dict[str, Any]) -> None:
        usage = reply.get("usage")
        if not isinstance(usage, dict):
            return
        generated = _count(usage.get("completion_tokens"))
        said = [completion_of(choice, "") for choice in choices_of(reply)]
        sizes = [len(one.answer) + len(one.think) for one in said]
        if "timings" in reply and sizes and sizes[0]:
            # llama-server counts the tokens of its first choice only.
            generated = round(generated * sum(sizes) / sizes[0])
        self.generated += generated
        details = usage.get("completion_tokens_details")
        if isinstance(details, dict) and "reasoning_tokens" in details:
            self.thought = (self.thought or 0) + min(_count(details["reasoning_tokens"]), generated)
        if not self.prompt:
            self.prompt = _count(usage.get("prompt_tokens"))
            details = usage.get("prompt_tokens_details")
            self.cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else 0


def completion_body(
    request: CompletionRequest, index: int, wanted: int, *, greedy: bool, straight: bool = False, unasked: int = 0
) -> dict[str, Any]:
    """The body that asks for `wanted` answers from candidate `index` on.

    Args:
        request: what is asked.
        index: the first candidate.
        wanted: how many.
        greedy: at temperature 0.
        straight: the model is known not to think.
        unasked: tokens for thoughts of a model that cannot be kept from them.
    """
    messages = _messages(request.messages)
    thinks = request.max_think_tokens > 0 or unasked > 0
    if request.answer_prefix and not thinks:
        messages.append({"role": "assistant", "content": request.answer_prefix})
    body: dict[str, Any] = {
        "messages": messages,
        "n": wanted,
        "max_tokens": request.max_answer_tokens + max(request.max_think_tokens, unasked),
        "temperature": 0.0 if greedy else request.temperature,
        "top_p": request.top_p,
        "seed": request.seed + index,
    }
    if request.stop and (straight or not thinks):
        # A server would stop at them in the middle of a thought, which may quote code; `until_stop` sees to them then.
        body["stop"] = list(request.stop)
    if not straight:
        body["chat_template_kwargs"] = _switch(on=request.max_think_tokens > 0)
    if messages[-1]["role"] == "assistant":
        body |= GO_ON
    if request.choices and (straight or not thinks):
        # With thoughts before the answer it would forbid them.
        body["grammar"] = choices_grammar(request.choices, request.max_choices)
    return body


def plain_body(body: dict[str, Any]) -> dict[str, Any]:
    """`body` with OpenAI's own fields only."""
    return {name: value for name, value in body.items() if name not in NOT_OPENAI}


def judge_body(request: JudgeRequest, *, thinks: bool = False) -> dict[str, Any]:
    """The body that asks for one token and its alternatives, of a model that `thinks` unasked behind a begun answer."""
    body = {
        "messages": _messages(request.messages),
        "max_tokens": 1,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": TOP_LOGPROBS,
        # Models that can switch their thinking off must, or the first token would open it.
        "chat_template_kwargs": _switch(on=False),
    }
    return begin_answer(body) if thinks else body


def begin_answer(body: dict[str, Any]) -> dict[str, Any]:
    """`body`, its answer begun with `BEGUN`."""
    return {**body, "messages": [*body["messages"], {"role": "assistant", "content": BEGUN}], **GO_ON}


def without_beginning(reply: dict[str, Any]) -> dict[str, Any]:
    """`reply` to a body of `begin_answer`, of which servers repeat the beginning or do not."""
    choices = [
        {**choice, "message": {**message, "content": text.removeprefix(BEGUN)}}
        if isinstance(message := choice.get("message"), dict) and isinstance(text := message.get("content"), str)
        else choice
        for choice in choices_of(reply)
    ]
    return {**reply, "choices": choices}


def _switch(*, on: bool) -> dict[str, bool]:
    """Qwen3, GLM and SmolLM3 call it one way, DeepSeek-V3.1 and Granite the other; others look at neither."""
    return {"enable_thinking": on, "thinking": on}


def _messages(messages: Sequence[Message]) -> list[dict[str, str]]:
    # Undecodable bytes of a file cannot travel as JSON text to a stranger.
    return [{"role": m.role, "content": m.content.encode("utf-8", "replace").decode()} for m in messages]


def choices_of(reply: dict[str, Any]) -> list[dict[str, Any]]:
    """The answers in a reply, possibly none."""
    choices = reply.get("choices")
    return [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def error_text(reply: object) -> str | None:
    """What a server says is wrong: `{"error": {"message": …}}` or a flatter form of it; None when it says nothing."""
    if isinstance(reply, dict):
        for key in ("error", "message", "detail"):
            if key in reply:
                return error_text(reply[key])
    return reply if isinstance(reply, str) else None


def completion_of(choice: dict[str, Any], prefix: str) -> Completion:
    """One answer, its think block apart, beginning with `prefix` exactly once."""
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    text = str(message.get("content") or "")
    think = str(message.get("reasoning_content") or message.get("reasoning") or "").strip()
    # With the server's own split there may still be a second tag, or all of it where a parser was not set up.
    more, text = settle(text) if think else split_thoughts(text)
    think = "\n".join(filter(None, (think, more)))
    finish = "length" if choice.get("finish_reason") == "length" else "stop"
    logprobs = [entry.get("logprob") for entry in _logprob_entries(choice)]
    known = [value for value in logprobs if isinstance(value, int | float)]
    mean = sum(known) / len(known) if known else None
    end = "" if not think else "length" if finish == "length" and not text else "closed"
    answer = "" if think and not text else _prefixed(text, prefix)
    return Completion(answer, think, len(known), finish, mean, think_end=end)


def until_stop(completion: Completion, request: CompletionRequest) -> Completion:
    """The answer as far as the first stop string behind its prefix."""
    found = [completion.answer.find(stop, len(request.answer_prefix)) for stop in request.stop]
    ends = [at for at in found if at >= 0]
    return dataclasses.replace(completion, answer=completion.answer[: min(ends)], finish="stop") if ends else completion


def _prefixed(text: str, prefix: str) -> str:
    """`text` beginning with `prefix` exactly once, whether the server repeated it, went on from it or ignored it."""
    if not prefix or text.startswith(prefix):
        return text
    bare = prefix.strip()
    start = text.lstrip()
    if bare and start.startswith(bare):
        return prefix + start[len(bare) :].lstrip("\n")
    before, found, after = text.partition(prefix)
    if found and bare.startswith("```") and "```" not in before:
        # Prose, then the fence: the server began anew. Had it gone on, the fence would have been closed before.
        return prefix + after
    return prefix + text


def with_tokens(completions: Sequence[Completion], generated: int, thought: int | None = None) -> list[Completion]:
    """Replies tell tokens in total only; spread them by length where no log-probabilities count them."""
    counted = list(completions)
    if not any(one.tokens for one in counted):
        sizes = [len(one.answer) + len(one.think) for one in counted]
        counted = [
            dataclasses.replace(one, tokens=share)
            for one, share in zip(counted, _shares(generated, sizes), strict=True)
        ]
    if thought is None:
        return [dataclasses.replace(one, think_tokens=_thought_part(one)) for one in counted]
    shares = _shares(thought, [len(one.think) for one in counted])
    return [dataclasses.replace(one, think_tokens=share) for one, share in zip(counted, shares, strict=True)]


def _shares(total: int, sizes: Sequence[int]) -> list[int]:
    whole = sum(sizes) or 1
    return [round(total * size / whole) for size in sizes]


def _thought_part(one: Completion) -> int:
    return round(one.tokens * len(one.think) / ((len(one.think) + len(one.answer)) or 1))


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _logprob_entries(choice: dict[str, Any]) -> list[dict[str, Any]]:
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return [entry for entry in content if isinstance(entry, dict)] if isinstance(content, list) else []


def p_yes(choice: dict[str, Any], yes: str, no: str) -> float | None:
    """P(yes) from the first token's alternatives; None when neither word is among them."""
    entries = _logprob_entries(choice)
    top = entries[0].get("top_logprobs") if entries else None
    if not isinstance(top, list):
        return None
    mass = {yes: 0.0, no: 0.0}
    for item in top:
        token, logprob = str(item.get("token", "")).strip(), item.get("logprob")
        # A word may be cut in two; its beginning counts when it cannot begin the other.
        for word, other in ((yes, no), (no, yes)):
            if token and word.startswith(token) and not other.startswith(token) and isinstance(logprob, int | float):
                mass[word] += math.exp(logprob)
    total = mass[yes] + mass[no]
    return mass[yes] / total if total > 0 else None
