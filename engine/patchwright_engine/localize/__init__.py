"""From an issue to ranked files and symbols without a model, and from those to prompt text within a budget."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patchwright_engine.localize.combine import locate

__all__ = ["locate"]


def __getattr__(name: str) -> Any:
    """`locate` brings the whole index with it; the server reads stack traces here and needs neither."""
    if name == "locate":
        from patchwright_engine.localize.combine import locate

        return locate
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
