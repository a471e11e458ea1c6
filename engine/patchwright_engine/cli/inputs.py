"""Read what the user typed on the command line, with an error that helps when it cannot be worked on."""

import sys
from pathlib import Path

from patchwright_engine.errors import BadInput
from patchwright_engine.search.budget import MAX_TEST_SECONDS

MAX_BYTES = 1_000_000
CURE = "Give the issue as text, as a file, or '-' to read it from standard input."


def read_issue(argument: str) -> str:
    """The issue text named by ISSUE: a file's content, standard input for '-', else the argument itself.

    Raises:
        BadInput: empty, binary or over 1 MB text, or something that looks like a path but does not exist.
    """
    if argument == "-":
        return _decoded(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input")
    path = _existing(argument)
    if path is not None:
        if not path.is_file():
            raise BadInput(f"the issue {argument} is not a file", CURE)
        try:
            with path.open("rb") as file:
                return _decoded(file.read(MAX_BYTES + 1), argument)
        except OSError as error:
            raise BadInput(f"cannot read the issue file {argument}: {error.strerror}", CURE) from error
    if _looks_like_path(argument):
        raise BadInput(f"there is no issue file {argument}", CURE)
    return _decoded(argument.encode("utf-8", "surrogateescape"), "the issue text")


def check_test(command: str | None, timeout_seconds: float) -> None:
    """Raise BadInput for a `--test` or a `--timeout` that nothing can be run with."""
    if command is not None and not command.strip():
        raise BadInput("--test is empty", "Give a command, e.g. --test 'pytest tests/test_x.py'.")
    if not 0 < timeout_seconds <= MAX_TEST_SECONDS:
        raise BadInput(
            f"--timeout {timeout_seconds:g} is no time for a test run",
            f"Give seconds, more than 0 and at most {MAX_TEST_SECONDS:.0f}.",
        )


def _existing(argument: str) -> Path | None:
    try:
        path = Path(argument).expanduser()
        return path if argument.strip() and path.exists() else None
    except (OSError, ValueError, RuntimeError):  # Too long for a path, or with a NUL: it is text.
        return None


def _looks_like_path(argument: str) -> bool:
    text = argument.strip()
    if not text or any(character.isspace() for character in text):
        return False
    return "/" in text or text.lower().endswith((".md", ".txt"))


def _decoded(content: bytes, source: str) -> str:
    if len(content) > MAX_BYTES:
        raise BadInput(f"{source} is over 1 MB", "Keep the part of the log that shows the fault.")
    text = content.decode("utf-8-sig", "replace")
    if "\0" in text or text.count("\N{REPLACEMENT CHARACTER}") > max(8, len(text) // 10):
        raise BadInput(f"{source} is not text", CURE)
    if not text.strip():
        raise BadInput(f"{source} is empty", CURE)
    return text
