"""What the workspace defines, uses and says, kept in SQLite and refreshed by content."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from patchwright_engine.index.lexical_search import LexicalScores
    from patchwright_engine.index.refresh import IndexReport
    from patchwright_engine.index.view import Index, open_index

__all__ = ["Index", "IndexReport", "LexicalScores", "open_index"]


def __getattr__(name: str) -> Any:
    """What is asked for is imported then: the processes that make records need neither views nor the database."""
    if name in ("Index", "open_index"):
        from patchwright_engine.index import view

        return getattr(view, name)
    if name == "LexicalScores":
        from patchwright_engine.index.lexical_search import LexicalScores

        return LexicalScores
    if name == "IndexReport":
        from patchwright_engine.index.refresh import IndexReport

        return IndexReport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
