"""Comments by which a model leaves code out: "rest of the function unchanged". They are English in every language."""

import re

_THING = r"(?:code|function|method|methods|logic|implementation|class|body|file)"
_PLACEHOLDER = re.compile(
    r"^\W*(?:\.\.\.|…)"
    rf"|\b(?:rest|remainder) of (?:the |your |this |my )?(?:\w+ )?{_THING}\b"
    rf"|\b(?:existing|original|previous|other|remaining|unchanged) (?:\w+ )?{_THING}\s*(?:here|goes here|\.\.\.|…|$)"
    rf"|\b(?:your|implementation|{_THING}) (?:{_THING} )?(?:goes |comes )?here\b"
    r"|\b(?:same|unchanged) as (?:before|above|(?:the |in the )?original)\b"
    rf"|\b{_THING}\b.*\b(?:the same|unchanged|as before|omitted)\s*\W*$"
    r"|\bfor brevity\b",
    re.IGNORECASE,
)


def is_placeholder(comment: str) -> bool:
    """Whether the text of a comment stands for code that was left out."""
    return _PLACEHOLDER.search(comment) is not None
