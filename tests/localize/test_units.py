"""Units are scored with the words of their path, and every score is that of the best unit of a file."""

from pathlib import Path

import pytest

from patchwright_engine.control import CancelToken
from patchwright_engine.index import open_index
from patchwright_engine.localize.mentions import read_mentions
from patchwright_engine.localize.units import UnitFit, fit_units
from patchwright_engine.types import Issue, RepoPath
from patchwright_engine.workspace.snapshot import take_snapshot

SMTP, IMAP, LONG = RepoPath("mail/smtp.py"), RepoPath("mail/imap.py"), RepoPath("mail/long.py")
FILES = {
    SMTP: "class Session:\n    def reconnect(self):\n        return self.retry()\n",
    IMAP: "LIMIT = 3\n\n\ndef reconnect(server):\n    return server.retry()\n",
    LONG: "def everything(server):\n    server.retry()\n" + "".join(f"    step_{n}(server)\n" for n in range(60)),
}


def fit(tmp_path: Path, text: str, files: tuple[RepoPath, ...] = tuple(FILES)) -> UnitFit:
    for path, source in FILES.items():
        (tmp_path / "root" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / path).write_text(source)
    with open_index(tmp_path / "root", tmp_path / "cache") as index:
        index.refresh(take_snapshot(tmp_path / "root"), CancelToken())
        return fit_units(index, read_mentions(Issue(text)), files)


def test_of_equal_functions_the_one_whose_path_is_meant_fits_best(tmp_path: Path) -> None:
    found = fit(tmp_path, "imap does not reconnect")
    assert found.by_file("context")[IMAP] == 1.0 > found.by_file("context")[SMTP]
    assert found.of_units(IMAP)[1]["context"] == 1.0, "the function, past the variable"
    assert found.of_units(IMAP).keys() == {1, -1}, "a variable is no unit"
    assert found.of_units(IMAP)[-1] == {}, "a path alone speaks for nothing"


def test_a_path_alone_suspects_none_of_its_functions(tmp_path: Path) -> None:
    assert fit(tmp_path, "long mail").by_file("context") == {}


def test_a_short_function_that_says_it_beats_a_long_one(tmp_path: Path) -> None:
    found = fit(tmp_path, "retry")
    assert found.by_file("context_short")[LONG] < found.by_file("context_short")[IMAP]


def test_coverage_is_the_share_of_what_is_asked(tmp_path: Path) -> None:
    assert fit(tmp_path, "reconnect retry smtp").by_file("title_coverage")[SMTP] == pytest.approx(1)
    assert 0 < fit(tmp_path, "reconnect nowhere").by_file("title_coverage")[SMTP] < 1


def test_code_in_the_issue_is_no_prose(tmp_path: Path) -> None:
    found = fit(tmp_path, "smtp hangs\n\n```python\nstep_7(server)\n```\n")
    assert found.by_file("context_prose").get(LONG, 0.0) < found.by_file("context")[LONG]


def test_no_words_and_no_files_fit_nothing(tmp_path: Path) -> None:
    assert fit(tmp_path, "?").by_file("context") == {}
    found = fit(tmp_path, "retry", files=())
    assert found.by_file("context") == {}
    assert found.of_units(IMAP) == {}
