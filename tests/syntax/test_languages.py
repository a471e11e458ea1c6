"""The table of languages: every registered grammar loads and its query compiles."""

import pytest

from patchwright_engine.syntax.languages import LanguageEntry, grammar_version, language_of, languages, load_grammar
from patchwright_engine.types import RepoPath


@pytest.mark.parametrize("entry", [entry for entry in languages() if entry.available], ids=lambda entry: entry.name)
def test_every_available_grammar_loads_with_its_query(entry: LanguageEntry) -> None:
    grammar = load_grammar(entry)
    names = {grammar.query.capture_name(number) for number in range(grammar.query.capture_count)}
    assert {"definition.function", "reference", "import"} <= names
    assert grammar_version(entry)


def test_no_extension_belongs_to_two_languages() -> None:
    extensions = [extension for entry in languages() for extension in entry.extensions]
    assert len(extensions) == len(set(extensions))


def test_files_are_told_by_extension_whatever_its_case() -> None:
    entry = language_of(RepoPath("a/B.PY"))
    assert entry is not None
    assert entry.name == "python"
    assert language_of(RepoPath("README.md")) is None
