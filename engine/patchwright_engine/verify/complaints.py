"""What an issue complains of, read from its words: the errors that come today, and code that does not end.

Invariant: what an issue asks for is not what it complains of; where that cannot be told, nothing is.
"""

import re

_NEVER_ENDS = re.compile(
    r"""
    \b(?:hang(?:s|ing)?|hung|stuck|freez\w+|frozen|(?:dead|live)lock\w*|forever|endless\w*|infinite(?:ly)?)\b
    |\b(?:time[sd]?[ -]?out|takes\ (?:minutes|hours|ages)|exponential\w*|quadratic\w*)\b
    |\b(?:too|very|extremely|so|much)\ (?:long|slow\w*)\b
    |(?:\bnever|\bnot|n't)\ (?:\w+\ )?(?:end|return|terminate|finish|stop|halt|complete|converge)(?:e?s)?\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""How issues speak of code that does not come to an end."""
_SHOWN_ERROR = re.compile(r"^(?:E +)?((?:\w+\.)*[A-Z]\w*(?:Error|Exception|Warning))(?::|$)", re.MULTILINE)
"""The last line of a traceback."""
_TOLD_ERROR = re.compile(
    r"\b(?:raises|throws|(?:crash|fail)(?:es|s|ed)? with)(?: an?| the)? `?((?:\w+\.)*[A-Z]\w*(?:Error|Exception))\b"
)


def speaks_of_no_end(issue_text: str) -> bool:
    """Whether an issue is about code that does not come to an end, or not in time."""
    return _NEVER_ENDS.search(issue_text) is not None


def errors_of_today(issue_text: str) -> frozenset[str]:
    """The exceptions that an issue complains of: those of its tracebacks, and those that its title says are raised."""
    title = issue_text.strip().partition("\n")[0]
    names = [*_SHOWN_ERROR.findall(issue_text), *_TOLD_ERROR.findall(title)]
    return frozenset(map(last_part, names))


def last_part(name: str) -> str:
    """The class itself, without its modules."""
    return name.rpartition(".")[2]
