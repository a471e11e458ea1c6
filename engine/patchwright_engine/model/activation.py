"""Decoding as one role reads: by the base, by its plain adapter, or by an activated one from its invocation on.

Invariant: sequence 0 and the KV cache of an answer hold what `cache_key` says has read them; an activated adapter
never reads there, only in forks (or ends) that are dropped after the verdict.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from patchwright_engine.errors import BadInput
from patchwright_engine.model.adapters import Adapter, invocation_start
from patchwright_engine.model.llama import LlamaContext, Row


def cache_key(adapters: Mapping[str, Adapter], role: str) -> str:
    """Who reads the prompts of `role`: its plain adapter, or ('') the base, which activated adapters build on."""
    adapter = adapters.get(role)
    return role if adapter and not adapter.activated else ""


def activation_start(context: LlamaContext, role: str, tokens: Sequence[int]) -> int:
    """How many of `tokens` may be shared with whoever has the same `cache_key`; all, but for an activated adapter.

    Raises:
        BadInput: the adapter's invocation tokens do not occur.
    """
    adapter = context.adapters.get(role)
    if adapter is None or not adapter.activated:
        return len(tokens)
    start = invocation_start(tokens, adapter)
    if start is None:
        words = b"".join(map(context.piece, adapter.invocation)).decode("utf-8", "replace")
        raise BadInput(
            f"the {role} adapter {adapter.path} acts after the tokens {list(adapter.invocation)} ({words!r}),"
            " which this prompt does not hold",
            f"Train it with the tokens that open the model's answer, or take '{role}' out of [adapters]"
            " in config.toml.",
        )
    return start


def decode_as(
    context: LlamaContext,
    role: str,
    rows: Sequence[Row],
    starts: Mapping[int, int],
    check: Callable[[], None] = lambda: None,
) -> Iterator[list[Row]]:
    """Decode `rows`, at most `n_batch` at a time; yields each batch when its logits can be read. `check`, called
    before each, may raise.

    `starts` gives each sequence's `activation_start`: an activated adapter reads from there on, and everything
    before is read first. Afterwards the adapter in use is the one before. Raises as `LlamaContext.decode`.
    """
    adapter = context.adapters.get(role)
    parts = [(cache_key(context.adapters, role), list(rows))]
    if adapter and adapter.activated:
        parts = [
            ("", [row for row in rows if row.position < starts[row.sequence]]),
            (role, [row for row in rows if row.position >= starts[row.sequence]]),
        ]
    size = context.parameters.n_batch
    before = context.adapter_in_use
    try:
        for reader, part in parts:
            context.use_adapter(reader)
            for at in range(0, len(part), size):
                batch = part[at : at + size]
                check()
                context.decode(batch)
                yield batch
    finally:
        context.use_adapter(before)
