"""Reports of searches: a trace read as a tree, and that tree as one HTML page. The terminal's is in `cli/`."""
