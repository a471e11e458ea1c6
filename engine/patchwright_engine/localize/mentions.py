"""What an issue's text names outright: words of code, dotted names, paths, imported modules.

Invariant: text in, plain values out. The text is untrusted and only ever matched against, by patterns that
start at a word's edge or have a bounded length, so that hostile text costs no more than long text.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from patchwright_engine.index.lexical import term_counts
from patchwright_engine.types import Issue

FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
CODE_SPAN = re.compile(r"`([^`\n]{1,200})`")
DOTTED = re.compile(r"(?<!\w)[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
QUALIFIED = re.compile(r"(?<![\w./])[A-Za-z_]\w*(?:(?:::|#)[A-Za-z_]\w*)+")
"""The same in Rust, C++, PHP, Ruby and Java's documentation; not the anchor of a link, nor a test's id."""
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
CALLED = re.compile(r"\b([A-Za-z_]\w*)\s?\(")
PATH = re.compile(
    r"(?<![\w.+~-])[\w.+~-]*(?:[/\\][\w.+~-]+)+|\b[\w-]+\.(?:py|pyi|[cm]?[jt]s|[jt]sx|go|rs|java|c|h|cc|cpp|cxx|hh|hpp|hxx|rb|rake|gemspec|php|cs)\b"
)
IMPORT = re.compile(r"^[ \t>.$]{0,16}(?:from\s+([\w.]+)\s+import|import\s+([\w.]+))", re.MULTILINE)
COMMENT = re.compile(r"<!--.{0,2000}?-->", re.DOTALL)
TITLE_WEIGHT = 3.0
LEAD_TITLE_WEIGHT = 2.0
LEAD_WORDS = 70
"""Of prose after the title: what people write first is about the fault, what follows about how to see it."""
MAX_TEXT = 60_000
"""Characters of an issue that are searched for; longer ones are logs whose start and end matter most."""


@dataclass(frozen=True)
class Mentions:
    """Everything the signals read from one issue."""

    text: str
    """The issue without hidden template comments, cut in the middle when very long."""
    title: str

    @cached_property
    def terms(self) -> dict[str, float]:
        """Search terms with their weight in the query: repeated ones count more, but ever less; the title counts."""
        return self._weighed(self.text, TITLE_WEIGHT)

    @cached_property
    def prose(self) -> str:
        """The text without its code blocks."""
        return FENCE.sub("\n", self.text)

    @cached_property
    def lead(self) -> str:
        """The title and the first words of prose."""
        rest = self.prose.removeprefix(self.title)
        return f"{self.title}\n{' '.join(rest.split(None, LEAD_WORDS)[:LEAD_WORDS])}"

    @cached_property
    def title_terms(self) -> dict[str, float]:
        return dict.fromkeys(term_counts(self.title), 1.0)

    @cached_property
    def lead_terms(self) -> dict[str, float]:
        return self._weighed(self.lead, LEAD_TITLE_WEIGHT)

    @cached_property
    def prose_terms(self) -> dict[str, float]:
        return self._weighed(self.prose, TITLE_WEIGHT)

    @cached_property
    def names(self) -> dict[str, float]:
        """Names that look like code, with how surely they are meant (0-1): quoted, compound, called, in a block."""
        found: dict[str, float] = {}

        def note(name: str, weight: float) -> None:
            if len(name) > 2:
                found[name] = max(found.get(name, 0.0), weight)

        for block in FENCE.findall(self.text):
            for name in IDENTIFIER.findall(block):
                note(name, 0.5 if _is_compound(name) else 0.2)
        for span in CODE_SPAN.findall(self.prose):
            for name in IDENTIFIER.findall(span):
                note(name, 1.0)
        for name in IDENTIFIER.findall(self.prose):
            if _is_compound(name):
                note(name, 0.8)
        for name in CALLED.findall(self.text):
            note(name, 0.6)
        for name in IDENTIFIER.findall(self.title):
            note(name, 1.0 if _is_compound(name) or name in found else 0.3)
        return found

    @cached_property
    def dotted(self) -> frozenset[str]:
        """Dotted names such as 'Parser.parse' or 'package.module'; 'Parser::parse' and 'Parser#parse' count as such."""
        qualified = (re.sub("::|#", ".", name) for name in QUALIFIED.findall(self.text))
        return frozenset((*DOTTED.findall(self.text), *qualified))

    @cached_property
    def modules(self) -> frozenset[str]:
        """Modules that code in the issue imports."""
        return frozenset(first or second for first, second in IMPORT.findall(self.text))

    @cached_property
    def paths(self) -> Counter[str]:
        """Things that look like file paths, with '/' as separator."""
        return Counter(match.replace("\\", "/").strip("./~") for match in PATH.findall(self.text))

    def _weighed(self, text: str, of_title: float) -> dict[str, float]:
        counts = term_counts(text)
        return {
            term: min(counts[term], 1 + counts[term] / 4) + of_title * self.title_terms.get(term, 0.0)
            for term in counts | self.title_terms
        }


def read_mentions(issue: Issue) -> Mentions:
    """Prepare an issue for the signals."""
    text = issue.text.replace("\r\n", "\n")
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT // 2] + "\n" + text[-MAX_TEXT // 2 :]
    return Mentions(COMMENT.sub(" ", text), issue.title)


def _is_compound(name: str) -> bool:
    """Whether a word looks like a name in code rather than a word: snake_case, CamelCase, with digits inside."""
    inner = name.strip("_")
    return "_" in inner or name.startswith("_") or (any(c.isupper() for c in inner[1:]) and not inner.isupper())
