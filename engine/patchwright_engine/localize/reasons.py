"""Why a place is suspected, in words that a person understands."""

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "place": "you pointed at it",
    "traceback": "named in the traceback",
    "paths": "its path or module is named",
    "names": "defines a name that the issue mentions",
    "functions": "its code has the issue's words",
    "lexical": "the file has the issue's words",
    "path_words": "its path has the issue's words",
    "model": "the model would change it",
    "graph": "imports, or is imported by, suspected files",
    "file": "its file is suspected",
}
"""By signal, the most telling first."""
ENOUGH = 0.3
"""A signal below this says too little to be a reason."""
MOST = 3


def reasons(signals: Mapping[str, float]) -> tuple[str, ...]:
    """At most `MOST` reasons, the most telling first; the strongest signal when none says much."""
    telling = [name for name in WORDS if signals.get(name, 0.0) >= ENOUGH]
    if not telling:
        telling = sorted(WORDS.keys() & signals.keys(), key=lambda name: (-signals[name], name))[:1]
    return tuple(WORDS[name] for name in telling[:MOST])
