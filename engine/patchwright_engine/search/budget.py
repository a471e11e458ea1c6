"""How much a search may spend: rollouts, always also bounded by seconds and generated tokens (DESIGN §4)."""

from dataclasses import dataclass

from patchwright_engine.errors import BadInput

NAMED = {"quick": 2, "standard": 8, "deep": 32}
MAX_ROLLOUTS = 256
# A 2-core machine with the 1.5B model spends about 25 s and 200 tokens a rollout, all stages counted; the
# caps leave five times that and room for thinking models, so that they end runaways and not honest work.
BASE_SECONDS = 300.0
SECONDS_PER_ROLLOUT = 120.0
BASE_TOKENS = 16_384
TOKENS_PER_ROLLOUT = 8_192
TEST_SECONDS = 120.0
"""For each run of a project's tests, unless the user says otherwise."""
MAX_TEST_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one search; whichever is reached first ends it."""

    rollouts: int
    seconds: float
    tokens: int
    """Generated tokens, thoughts included."""


def parse_budget(text: str) -> Budget:
    """'quick', 'standard', 'deep' or a number of rollouts.

    Raises:
        BadInput: anything else.
    """
    rollouts = NAMED.get(text)
    if rollouts is None:
        try:
            rollouts = int(text)
        except ValueError:
            rollouts = 0
        if not 1 <= rollouts <= MAX_ROLLOUTS:
            raise BadInput(
                f"unknown budget '{text}'",
                f"Use quick (2 rollouts), standard (8), deep (32) or a number from 1 to {MAX_ROLLOUTS}.",
            )
    return Budget(
        rollouts,
        BASE_SECONDS + SECONDS_PER_ROLLOUT * rollouts,
        BASE_TOKENS + TOKENS_PER_ROLLOUT * rollouts,
    )


def round_sizes(rollouts: int) -> tuple[int, ...]:
    """Sizes of the search rounds: one, then each doubles what was spent, the last takes what is left.

    But for the last one, the sizes do not depend on the total, so a deeper search begins with the whole rounds of a
    shallower one.
    """
    sizes: list[int] = []
    spent = 0
    while spent < rollouts:
        size = min(max(1, spent), rollouts - spent)
        sizes.append(size)
        spent += size
    return tuple(sizes)
