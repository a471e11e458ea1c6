"""Source text to plain records: symbols, references and imports, with tree-sitter."""
