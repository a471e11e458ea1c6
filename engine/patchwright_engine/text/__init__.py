"""Lines, positions and small edits of plain text; knows no language and no protocol."""
