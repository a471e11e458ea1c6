"""What the workspace defines, uses and says, kept in SQLite and refreshed by content."""

from patchwright_engine.index.view import Index, IndexReport, open_index

__all__ = ["Index", "IndexReport", "open_index"]
