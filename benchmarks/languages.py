"""What does reading a language cost against reading Python, and how much of real code does it read without errors?

    python benchmarks/languages.py DIR... [--json OUT]

Every source file below the folders is parsed and queried in one process, as the index does it, best of three. Copies
of real projects make good folders; a language with less than 0.2 MB there is shown but not compared. Seconds are those
of the processor, so that other work on the machine disturbs less.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from patchwright_engine.index.records import MAX_BYTES
from patchwright_engine.syntax.languages import language_of, languages, load_grammar
from patchwright_engine.syntax.parse import parse_symbols
from patchwright_engine.types import RepoPath

ENOUGH_BYTES = 200_000
RUNS = 3


@dataclass
class Cost:
    """What the files of one language came to."""

    files: int = 0
    bytes: int = 0
    broken: int = 0
    """Files that tree-sitter could not read in full."""
    symbols: int = 0
    references: int = 0
    imports: int = 0
    seconds: float = field(default=0.0)

    @property
    def per_megabyte(self) -> float:
        return self.seconds / (self.bytes / 1e6)


def main() -> int:
    """Measure, print a table, and write OUT when asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    costs = measure(arguments.folders)
    enough = {name: cost for name, cost in costs.items() if cost.bytes >= ENOUGH_BYTES}
    python = enough["python"].per_megabyte if "python" in enough else None
    ratios = {name: cost.per_megabyte / python for name, cost in enough.items()} if python else {}
    table = Table("language", "files", "MB", "s a MB", "of Python's", "with errors", "symbols a kB", "references a kB")
    for name, cost in costs.items():
        table.add_row(
            name,
            str(cost.files),
            f"{cost.bytes / 1e6:.2f}",
            f"{cost.per_megabyte:.3f}",
            f"{ratios[name]:.2f}" if name in ratios else "",
            f"{100 * cost.broken / cost.files:.1f} %",
            f"{1e3 * cost.symbols / cost.bytes:.2f}",
            f"{1e3 * cost.references / cost.bytes:.2f}",
        )
    Console().print(table)
    if arguments.json:
        machine = {"platform": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
        rows = [{"language": name, **vars(cost)} for name, cost in costs.items()]
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows, "ratios": ratios}, indent=1))
    return 0 if costs else 2


def measure(folders: list[Path]) -> dict[str, Cost]:
    """Read every source file below `folders`; languages in the order of the table."""
    for entry in languages():
        load_grammar(entry)  # Once a process, and no cost of a file.
    costs: defaultdict[str, Cost] = defaultdict(Cost)
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            entry = language_of(RepoPath(path.name))
            if entry is None or path.is_symlink() or not path.is_file() or not 0 < path.stat().st_size <= MAX_BYTES:
                continue
            content = path.read_bytes()
            seconds = []
            for _ in range(RUNS):
                started = time.process_time()
                syntax = parse_symbols(RepoPath(path.name), content)
                seconds.append(time.process_time() - started)
            cost = costs[entry.name]
            cost.seconds += min(seconds)
            cost.files += 1
            cost.bytes += len(content)
            cost.broken += syntax.has_error
            cost.symbols += len(syntax.symbols)
            cost.references += len(syntax.references)
            cost.imports += len(syntax.imports)
    if not costs:
        sys.stderr.write(f"No source files below {', '.join(map(str, folders))}. Cure: name folders of projects.\n")
    return {entry.name: costs[entry.name] for entry in languages() if entry.name in costs}


if __name__ == "__main__":
    raise SystemExit(main())
