"""Why a place is suspected, in words that a person understands."""

from collections.abc import Mapping

_WORDS_OF_CODE = "its code has the issue's words"
_WORDS_OF_FILE = "the file has the issue's words"
WORDS: Mapping[str, str] = {
    "place": "you pointed at it",
    "traceback": "named in the traceback",
    "execution": "runs in the failing test, rarely in passing ones",
    "paths": "its path is named",
    "modules": "its module is named",
    "dotted": "named in full",
    "names": "defines a name that the issue mentions",
    "called_so": "defines a name that the issue mentions",
    "named_file": "its path is named",
    "file_name": "is called like a word of the issue",
    "title_coverage": "fits the issue's title",
    "context_title": "fits the issue's title",
    "functions": _WORDS_OF_CODE,
    "context": _WORDS_OF_CODE,
    "context_lead": _WORDS_OF_CODE,
    "context_short": _WORDS_OF_CODE,
    "context_prose": _WORDS_OF_CODE,
    "coverage": _WORDS_OF_CODE,
    "lexical_name": "its definitions have the issue's words",
    "lexical": _WORDS_OF_FILE,
    "lexical_code": _WORDS_OF_FILE,
    "lexical_text": _WORDS_OF_FILE,
    "path_words": "its path has the issue's words",
    "model": "the model would change it",
    "called": "used by suspected code of its file",
    "class_context": "its class has the issue's words",
    "imported": "code in the issue imports it",
    "graph": "imports, or is imported by, suspected files",
    "best_of_file": "fits best in its file",
    "file": "its file is suspected",
}
"""By signal, the most telling first."""
WITHOUT_WORDS = frozenset(
    {"lexical_share", "size", "aside", "few", "lines", "class", "method", "function", "variable", "constructor"}
    | {"file_odds"}
)
"""Signals that say what a place is, or repeat another one: no reasons."""
ENOUGH = 0.3
"""A signal below this says too little to be a reason."""
MOST = 3


def reasons(signals: Mapping[str, float]) -> tuple[str, ...]:
    """At most `MOST` reasons, the most telling first; the strongest signal when none says much."""
    telling = [name for name in WORDS if signals.get(name, 0.0) >= ENOUGH]
    if not telling:
        telling = sorted(WORDS.keys() & signals.keys(), key=lambda name: (-signals[name], name))[:1]
    return tuple(dict.fromkeys(WORDS[name] for name in telling))[:MOST]
