"""What the user set for the server through the editor (section "patchwright"), checked value by value.

Invariant: a bad value never stops the server; it is named in a warning and the default is used instead.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from patchwright_engine.search.budget import MAX_ROLLOUTS, MAX_TEST_SECONDS, NAMED, TEST_SECONDS

BUDGETS = ("quick", "standard", "deep")
NO_DEEPER = (
    f"There is no deeper search than one of {MAX_ROLLOUTS} attempts. Say more in the issue, name a failing test, or "
    "choose a larger model, and start a new fix."
)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The section "patchwright" of the client's configuration."""

    model: str | None = None
    """Catalog name, path of a GGUF file, or URL of an OpenAI-compatible server. None: chosen by the engine."""
    budget: str = "standard"
    """'quick', 'standard', 'deep' or a number of rollouts."""
    python: str | None = None
    """Interpreter that runs the user's tests. None: discovered."""
    test_command: str | None = None
    """The test that shows the fault ("testCommand"). None: discovered."""
    test_timeout: float = TEST_SECONDS
    """Seconds for each run of the user's tests ("testTimeout")."""


def read_settings(values: object, base: ServerSettings) -> tuple[ServerSettings, list[str]]:
    """Read a configuration section on top of `base`; unknown keys are left to newer versions.

    Returns:
        The settings, and one sentence for every value that was not used.
    """
    if values is None:
        return base, []
    if not isinstance(values, Mapping):
        return base, [f"'patchwright' must be an object, not {values!r}; the defaults are used."]
    settings, warnings = base, []
    for key, (name, read) in _READERS.items():
        value = values.get(key)
        if value is None or value == "":
            continue
        good: Any = read(value)
        if good is not None:
            settings = replace(settings, **{name: good})
        else:
            default = getattr(base, name)
            warnings.append(f"'patchwright.{key}' cannot be {value!r}; {default or 'the default'} is used.")
    return settings, warnings


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def budget_name(value: Any) -> str | None:
    """A budget as the engine takes it, or None when it is none."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if text in BUDGETS or (text.isascii() and text.isdigit() and 0 < int(text) <= MAX_ROLLOUTS) else None


def _seconds(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and 0 < value <= MAX_TEST_SECONDS else None


def next_budget(value: str) -> str | None:
    """The budget to deepen a search with; None when there is no deeper one."""
    following = {"quick": "standard", "standard": "deep"}.get(value)
    if following is not None:
        return following
    spent = NAMED[value] if value in NAMED else int(value)
    return str(min(MAX_ROLLOUTS, spent * 2)) if spent < MAX_ROLLOUTS else None


_READERS: Mapping[str, tuple[str, Callable[[Any], str | float | None]]] = {
    "model": ("model", _text),
    "budget": ("budget", budget_name),
    "python": ("python", _text),
    "testCommand": ("test_command", _text),
    "testTimeout": ("test_timeout", _seconds),
}
"""Key of the client's section → field, and how a value is read; None for one that cannot be used."""
