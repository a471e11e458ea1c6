"""What the workspace defines, uses and says, kept in SQLite and refreshed by content."""

from patchwright_engine.index.lexical_search import LexicalScores
from patchwright_engine.index.refresh import IndexReport
from patchwright_engine.index.view import Index, open_index

__all__ = ["Index", "IndexReport", "LexicalScores", "open_index"]
