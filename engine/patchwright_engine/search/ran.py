"""From what tests were seen to run to the symbols of the index."""

from collections.abc import Iterable

from patchwright_engine.index import Index
from patchwright_engine.localize.spectrum import Function, Spectrum, spectrum_of
from patchwright_engine.types import RepoPath
from patchwright_engine.verify.execution import Ran


def spectrum_in(index: Index, failed: Iterable[Ran], passed: Iterable[Ran]) -> Spectrum:
    """The spectrum of tests over the symbols of the index."""
    return spectrum_of([_functions(one) for one in failed], [_functions(one) for one in passed], index.symbols)


def _functions(ran: Ran) -> dict[Function, frozenset[int]]:
    return {(RepoPath(frame.path), frame.line): lines for frame, lines in ran.items() if frame.inside}
