"""Draw a real `patchwright fix` run as an SVG for the README.

    python benchmarks/picture.py OUT.svg ISSUE_FILE REPO [options of fix]

What the picture shows is what the command printed: progress lines from stderr, the result from stdout.
"""

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 108
KEPT_STAGES = 14


def main() -> int:
    """Run the command once and write the picture; exits with the command's own status."""
    out, issue, repo, *options = sys.argv[1:]
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH - 2)}
    command = [sys.executable, "-m", "patchwright_engine", "fix", issue, "--repo", repo, *options]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    console = Console(record=True, width=WIDTH, file=Path(os.devnull).open("w", encoding="utf-8"), force_terminal=True)  # noqa: SIM115
    console.print(Text(f"$ patchwright fix issue.md {' '.join(options)}", style="bold"))
    progress = [Text.from_ansi(line).plain for line in run.stderr.splitlines() if line.strip()]
    shown = [line for line in progress if "] index" not in line and "] model" not in line]
    for line in shown[:KEPT_STAGES]:
        console.print(Text(line, style="dim"), overflow="ellipsis", no_wrap=True)
    if len(shown) > KEPT_STAGES:
        console.print(Text(f"[... {len(shown) - KEPT_STAGES} more lines of progress]", style="dim"))
    console.print(Text.from_ansi(run.stdout.replace(str(Path.home()), "~")))
    console.save_svg(out, title="patchwright fix")
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
