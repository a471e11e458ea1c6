"""Text to search terms: words of prose and code, with compound identifiers also split into their parts.

Invariant: one function makes the terms of files, of single functions and of issues, so that they meet.
"""

import re
from collections import Counter
from functools import lru_cache

WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PART = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
MAX_TERM = 60
"""Longer 'words' are data (base64, hashes), not names."""

STOP_WORDS = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did", "do", "does", "for",
        "from", "had", "has", "have", "how", "i", "if", "in", "into", "is", "it", "its", "just", "like", "me", "my",
        "no", "not", "of", "on", "or", "our", "out", "should", "so", "some", "than", "that", "the", "their", "them",
        "then", "there", "these", "they", "this", "to", "up", "us", "use", "using", "was", "we", "were", "what",
        "when", "where", "which", "while", "who", "why", "will", "with", "would", "you", "your", "def", "self",
        "return", "import", "none", "true", "false", "class", "else", "elif", "try", "except", "raise", "print",
        "pass", "lambda", "cls",
    }
)  # fmt: skip
"""Words of prose and keywords of Python that tell files apart poorly."""


def term_counts(text: str) -> Counter[str]:
    """How often each term occurs in `text`."""
    counts: Counter[str] = Counter()
    for word, times in Counter(WORD.findall(text)).items():
        for term in word_terms(word):
            counts[term] += times
    return counts


@lru_cache(maxsize=100_000)
def word_terms(word: str) -> tuple[str, ...]:
    """The terms of one word: `HttpRequests` gives httprequests, http and request."""
    if len(word) > MAX_TERM:
        return ()
    whole = word.strip("_").lower()
    if not whole or whole in STOP_WORDS:
        return ()
    parts = [part.lower() for part in PART.findall(word)]
    if len(parts) <= 1:
        return (_stem(whole),) if len(whole) > 1 else ()
    return (whole, *(_stem(part) for part in parts if len(part) > 1 and part not in STOP_WORDS))


def _stem(word: str) -> str:
    """Plural and singular meet; nothing cleverer, since names are not prose."""
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
