"""The names of the strategies: Dev-Search, and the fixed ones that it is compared with (see `rollouts.choose`)."""

from patchwright_engine.errors import BadInput

DEV_SEARCH = "dev-search"
SINGLE = "single"
VOTING = "voting"
EXEC = "exec"
ORM_EXEC = "orm-exec"
STRATEGIES = (DEV_SEARCH, SINGLE, VOTING, EXEC, ORM_EXEC)


DIVERGENT = "divergent"
FREE = "free"
SAMPLINGS = (DIVERGENT, FREE)
"""How candidates for one definition come to differ: each leaves the original at another place, or by temperature."""


def check_sampling(text: str, strategy: str) -> str:
    """The name itself.

    Raises:
        BadInput: it is none of `SAMPLINGS`, or not the strategy's.
    """
    if text not in SAMPLINGS:
        raise BadInput(f"unknown sampling '{text}'", f"Use {' or '.join(SAMPLINGS)}.")
    if strategy == DEV_SEARCH and text != DIVERGENT:
        raise BadInput(f"{DEV_SEARCH} has no sampling '{text}'", f"Leave it at {DIVERGENT}, or name another strategy.")
    return text


def check_strategy(text: str) -> str:
    """The name itself.

    Raises:
        BadInput: it is none of `STRATEGIES`.
    """
    if text not in STRATEGIES:
        raise BadInput(
            f"unknown strategy '{text}'",
            f"Use {DEV_SEARCH} (the default), or for comparison {', '.join(STRATEGIES[1:-1])} or {STRATEGIES[-1]}.",
        )
    return text
