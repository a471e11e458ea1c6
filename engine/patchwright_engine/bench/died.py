"""Where a search went wrong that did not resolve its issue: the place, the edit, or the choice among the edits."""

from collections.abc import Iterable
from pathlib import Path

from patchwright_engine.bench.packing import changes_of
from patchwright_engine.syntax.parse import parse_symbols

LOCALIZATION, EDIT, VERIFICATION, ENVIRONMENT = "localization", "edit", "verification", "environment"
UNJUDGED = "edit or verification"
"""Only what was offered was judged, so it is not known whether a right patch was passed over."""


def places_of(diff: str, tree: Path) -> frozenset[str]:
    """What a diff changes in the files of `tree`: 'path::function', the innermost; the path alone outside of any.

    What it adds as new files has no place.
    """
    places: set[str] = set()
    for path, changes in changes_of(diff).items():
        file = tree / path
        if not file.is_file():
            continue
        symbols = parse_symbols(path, file.read_bytes()).symbols
        functions = [symbol for symbol in symbols if symbol.kind in ("function", "method")]
        for line in {line for change in changes for line in change.lines}:
            inside = [symbol for symbol in functions if symbol.start_line <= line <= symbol.end_line]
            innermost = max(inside, key=lambda symbol: symbol.start_line, default=None)
            places.add(f"{path}::{innermost.name}" if innermost else str(path))
    return frozenset(places)


def wanted_places(gold: frozenset[str]) -> frozenset[str]:
    """Of the places of the developer's fix, those that tell a right place: its functions, else its files."""
    return frozenset(place for place in gold if "::" in place) or gold


def died_at(wanted: frozenset[str], tried: Iterable[str], *, found_right: bool, all_judged: bool) -> str:
    """For an issue that was not resolved; `tried` are the places that were to be repaired or were.

    `found_right`: a patch that the hidden tests call right was written, but not offered.
    """
    if found_right:
        return VERIFICATION
    if wanted and not wanted & frozenset(tried):
        return LOCALIZATION
    return EDIT if all_judged else UNJUDGED
