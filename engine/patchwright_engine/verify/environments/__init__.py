"""Where a project's environment may lie, and what the project asks of it; everything is read from disk."""
