"""Ochiai's coefficient over what tests ran, and how it changes a ranking."""

import math
from collections.abc import Sequence

import pytest

from patchwright_engine.localize.spectrum import Ran, Spectrum, ochiai, spectrum_of, with_spectrum
from patchwright_engine.types import RankedFile, RankedSymbol, Ranking, RepoPath, Symbol

CODE, HELP, TEST = RepoPath("app/code.py"), RepoPath("app/help.py"), RepoPath("tests/test_code.py")


def symbol(path: RepoPath, name: str, start: int, end: int, kind: str = "function") -> Symbol:
    return Symbol(path, name, kind, start, end)


PARSE = symbol(CODE, "parse", 1, 9)
KIND = symbol(CODE, "Kind", 11, 30, "class")
SHOW = symbol(CODE, "Kind.show", 12, 20, "method")
JOIN = symbol(HELP, "join", 1, 4)
TESTED = symbol(TEST, "test_parse", 1, 3)
SYMBOLS = {CODE: (PARSE, KIND, SHOW), HELP: (JOIN,), TEST: (TESTED,)}


def symbols(path: RepoPath) -> Sequence[Symbol]:
    return SYMBOLS.get(path, ())


@pytest.mark.parametrize(
    ("failed", "passed", "all_failed", "expected"),
    [(1, 0, 1, 1.0), (1, 3, 1, 0.5), (1, 0, 4, 0.5), (2, 6, 4, 2 / math.sqrt(32)), (0, 5, 1, 0.0)],
)
def test_suspicion_is_ochiais_coefficient(failed: int, passed: int, all_failed: int, expected: float) -> None:
    assert ochiai(failed, passed, all_failed) == pytest.approx(expected)


def test_a_function_that_only_the_failing_test_enters_is_most_suspect() -> None:
    failed: Ran = {(CODE, 1): (), (HELP, 1): ()}
    passed: list[Ran] = [{(CODE, 1): ()}] * 3
    spectrum = spectrum_of([failed], passed, symbols)
    assert spectrum.symbols == {PARSE: 0.5, JOIN: 1.0}
    assert spectrum.files == {CODE: 0.5, HELP: 1.0}


def test_a_branch_that_only_the_failing_test_takes_makes_its_function_suspect() -> None:
    failed: Ran = {(CODE, 1): (2, 5), (HELP, 1): (2,)}
    passed: list[Ran] = [{(CODE, 1): (2, 3), (HELP, 1): (2,)}] * 3
    assert spectrum_of([failed], passed, symbols).symbols == {PARSE: 1.0, JOIN: 0.5}


def test_a_line_that_all_failing_tests_run_is_more_suspect_than_that_of_one() -> None:
    failed: list[Ran] = [{(CODE, 1): (2, 5)}, {(CODE, 1): (2,), (HELP, 1): ()}]
    assert spectrum_of(failed, [], symbols).symbols == {PARSE: 1.0, JOIN: pytest.approx(math.sqrt(0.5))}


def test_a_function_without_a_symbol_counts_for_the_one_around_it() -> None:
    lambda_of_show: Ran = {(CODE, 15): (15,)}
    of_the_class_body: Ran = {(CODE, 25): (25,)}
    spectrum = spectrum_of([{**lambda_of_show, **of_the_class_body, (CODE, 40): (40,)}], [lambda_of_show], symbols)
    assert spectrum.symbols == {SHOW: pytest.approx(math.sqrt(0.5)), KIND: 1.0}


def test_tests_themselves_are_not_suspected() -> None:
    spectrum = spectrum_of([{(TEST, 1): (2,), (RepoPath("gone.py"), 1): ()}], [], symbols)
    assert (spectrum.symbols, spectrum.files) == ({}, {})


def ranking(files: dict[RepoPath, float], found: dict[Symbol, float]) -> Ranking:
    return Ranking(
        tuple(RankedFile(path, score, {"lexical": 1.0}) for path, score in files.items()),
        tuple(RankedSymbol(one, score, {"names": 1.0}) for one, score in found.items()),
        0.1,
    )


@pytest.mark.parametrize("scale", [1.0, 0.01, 300.0])
def test_what_runs_in_the_failing_test_rises_on_any_scale_of_scores(scale: float) -> None:
    before = ranking({HELP: 0.8 * scale, CODE: 0.7 * scale}, {JOIN: 0.9 * scale, PARSE: 0.5 * scale})
    after = with_spectrum(before, Spectrum({PARSE: 0.3, JOIN: 0.1}, {CODE: 0.3, HELP: 0.1}))
    assert [item.path for item in after.files] == [CODE, HELP]
    assert [item.symbol for item in after.symbols] == [PARSE, JOIN]
    assert after.files[0].signals == {"lexical": 1.0, "execution": 0.3}
    assert after.symbols[1].signals == {"names": 1.0, "execution": 0.1}
    assert all(0 <= item.score <= 1 for item in (*after.files, *after.symbols))
    assert after.seconds == before.seconds


def test_suspects_that_the_ranking_lacks_join_it() -> None:
    after = with_spectrum(ranking({HELP: 0.8}, {JOIN: 0.9}), Spectrum({PARSE: 1.0}, {CODE: 1.0}))
    assert {item.path: dict(item.signals) for item in after.files} == {HELP: {"lexical": 1.0}, CODE: {"execution": 1.0}}
    assert {item.symbol: dict(item.signals) for item in after.symbols} == {
        JOIN: {"names": 1.0},
        PARSE: {"execution": 1.0},
    }


def test_without_suspects_the_ranking_stays() -> None:
    before = ranking({HELP: 0.8}, {JOIN: 0.9})
    assert with_spectrum(before, Spectrum({}, {})) is before


def test_an_empty_ranking_takes_the_spectrum() -> None:
    after = with_spectrum(Ranking((), (), 0.0), Spectrum({PARSE: 0.5}, {CODE: 0.5}))
    assert [item.symbol for item in after.symbols] == [PARSE]
