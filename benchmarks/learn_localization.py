"""Learn what each signal of localization is worth, from issues whose fix is known.

    patchwright bench localize --instances F --repos DIR --signals SIGNALS
    python benchmarks/learn_localization.py SIGNALS [--ablate] [--write] [--json OUT]

A ranking is a softmax over the sum of signals times weights; the weights make the fixed files, then the fixed
functions, as likely as possible (ListNet, Cao et al. 2007, each gold place against all wrong ones), held near their
prior by an L2 penalty that is strong: signals repeat each other, and a few hundred issues do not tell which of two
twins is the better one. One factor on all weights then makes shares true again. A signal that speaks for a place never
counts against it. All numbers printed are cross-validated over repositories: each repository is ranked by weights that
never saw it. --write then learns from all of them and replaces the engine's weights.toml. Run the bench again after
--write: which symbols are candidates depends on the weights of files.
"""

import argparse
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

WEIGHTS = Path(__file__).parents[1] / "engine/patchwright_engine/localize/weights.toml"
EITHER_SIGN = frozenset({"size", "aside", "few", "lines", "class", "method", "function", "variable", "constructor"})
"""Signals that say what a place is, not what speaks for it."""
PRIOR: Mapping[str, Mapping[str, float]] = {
    "files": {"aside": -6.0, "traceback": 2.0, "paths": 1.5},
    "symbols": {"traceback": 2.0, "dotted": 1.0},
}
"""Weights that hold until data contradict them: signals that are sure but rare in issues of mature projects."""
AT_LEAST: Mapping[str, Mapping[str, float]] = {"files": {"traceback": 1.0}, "symbols": {"traceback": 1.5}}
"""Weights that no data may lower further: issues of mature projects rarely show a traceback, users' mostly do."""
L2 = {"files": 200.0, "symbols": 10.0}
"""On signals scaled to the same spread. For files 200 to 3200 rank equally well, and up to 200 shares stay as good."""
FOLDS = 6
FILES = 12
"""Best files whose symbols weights are learned from."""
SHARPEST = 10.0
ROUNDS = 400
SMALL_STEP = 1e-4
"""Learning ends when no scaled weight moves more."""

Floats = NDArray[numpy.float64]
Ranks = list[int | None]


@dataclass(frozen=True)
class Rows:
    """The candidates of all instances, instance after instance."""

    names: list[str]
    places: list[str]
    of: NDArray[numpy.int64]
    """The instance of each row."""
    values: Floats
    gold: NDArray[numpy.bool_]
    teaches: NDArray[numpy.bool_]
    """Whether weights are learned from a row: the many wrong symbols of worse files teach nothing more."""

    def without(self, name: str) -> "Rows":
        kept = [at for at, other in enumerate(self.names) if other != name]
        return Rows(
            [self.names[at] for at in kept], self.places, self.of, self.values[:, kept], self.gold, self.teaches
        )


def main() -> int:
    """Cross-validate, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("signals", type=Path, help="the folder that `bench localize --signals` wrote")
    parser.add_argument("--only", type=Path, metavar="F", help="report the instances of this file only; learn from all")
    parser.add_argument("--ablate", action="store_true", help="also without each signal in turn")
    parser.add_argument("--write", action="store_true", help="replace weights.toml")
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    instances = [json.loads(path.read_text("utf-8")) for path in sorted(arguments.signals.glob("*.json"))]
    told = None
    if arguments.only:
        told = {
            json.loads(line)["instance_id"] for line in arguments.only.read_text("utf-8").splitlines() if line.strip()
        }
    shown = [at for at, one in enumerate(instances) if told is None or one["instance_id"] in told]
    files = file_rows(instances)
    odds = cross_validated(files, instances, "files")
    symbols = symbol_rows(instances, files, odds)
    report: dict[str, Any] = {
        "instances": len(shown),
        "learned_from": len(instances),
        "repositories": len({one["repo"] for one in instances}),
    }
    table = Table(title=f"{len(shown)} instances, cross-validated over {report['repositories']} repositories, %")
    for column in ("", "any@1", "any@5", "any@10", "all@1", "all@5", "all@10", "MRR"):
        table.add_column(column, justify="left" if not column else "right")

    def tell(what: str, kind: str, rows: Rows, log_odds: Floats) -> None:
        scores = measured([ranks_of(rows, log_odds, instances, at, kind) for at in shown])
        report[what] = scores
        table.add_row(what, *(f"{scores[name]:.1f}" for name in list(scores)[:-1]), f"{scores['mrr']:.3f}")

    tell("files", "gold_files", files, odds)
    if arguments.ablate:
        for name in files.names:
            less = files.without(name)
            tell(f"files without {name}", "gold_files", less, cross_validated(less, instances, "files"))
    tell("symbols", "gold_symbols", symbols, cross_validated(symbols, instances, "symbols"))
    if arguments.ablate:
        for name in symbols.names:
            less = symbols.without(name)
            tell(f"symbols without {name}", "gold_symbols", less, cross_validated(less, instances, "symbols"))
    Console(width=110).print(table)
    learned = {"files": learn(files, "files")}
    own = files.values @ learned["files"]
    learned["symbols"] = learn(symbol_rows(instances, files, own), "symbols")
    report["weights"] = {
        kind: dict(zip(rows.names, learned[kind].round(4).tolist(), strict=True))
        for kind, rows in (("files", files), ("symbols", symbols))
    }
    if arguments.write:
        write_weights(report)
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1))
    return 0


def file_rows(instances: Sequence[Mapping[str, Any]]) -> Rows:
    """Every candidate file of every instance."""
    return _rows(
        [[(path, own) for path, own in one["files"].items()] for one in instances],
        [frozenset(one["gold_files"]) for one in instances],
    )


def symbol_rows(instances: Sequence[Mapping[str, Any]], files: Rows, log_odds: Floats) -> Rows:
    """Every candidate symbol; what their files count is that of `log_odds`, not of the weights that made the dump."""
    lists = []
    for at, one in enumerate(instances):
        mine = numpy.flatnonzero(files.of == at)
        order = mine[numpy.argsort(-log_odds[mine], kind="stable")]
        best = float(log_odds[order[0]]) if len(order) else 0.0
        odds = {files.places[row]: float(log_odds[row]) - best for row in order}
        rank = {path: 1 / (1 + number) for number, path in enumerate(odds)}
        lists.append(
            [
                (f"{path}::{name}", {**own, "file": rank[path], "file_odds": odds[path]})
                for path, name, own in one["symbols"]
            ]
        )
    return _rows(lists, [frozenset(one["gold_symbols"]) for one in instances])


def _rows(lists: Sequence[Sequence[tuple[str, Mapping[str, float]]]], gold: Sequence[frozenset[str]]) -> Rows:
    names = sorted({name for one in lists for _, own in one for name in own})
    right = [place in gold[at] for at, one in enumerate(lists) for place, _ in one]
    near = [own.get("file", 1.0) >= 1 / FILES for one in lists for _, own in one]
    return Rows(
        names,
        [place for one in lists for place, _ in one],
        numpy.array([at for at, one in enumerate(lists) for _ in one], numpy.int64),
        numpy.array([[own.get(name, 0.0) for name in names] for one in lists for _, own in one]),
        numpy.array(right),
        numpy.array(right) | numpy.array(near),
    )


def cross_validated(rows: Rows, instances: Sequence[Mapping[str, Any]], kind: str) -> Floats:
    """The log-odds of each row by weights learned from other repositories."""
    fold = numpy.array(folds([one["repo"] for one in instances]))[rows.of]
    log_odds = numpy.zeros(len(rows.of))
    for number in range(FOLDS):
        held_out = fold == number
        log_odds[held_out] = rows.values[held_out] @ learn(rows, kind, ~held_out)
    return log_odds


def folds(repositories: Sequence[str]) -> list[int]:
    """A fold for each instance, all of a repository in the same one, the largest repositories first."""
    sizes = [0] * FOLDS
    of: dict[str, int] = {}
    for name, count in sorted(Counter(repositories).items(), key=lambda item: (-item[1], item[0])):
        of[name] = sizes.index(min(sizes))
        sizes[of[name]] += count
    return [of[name] for name in repositories]


def learn(rows: Rows, kind: str, use: NDArray[numpy.bool_] | None = None) -> Floats:
    """Weights of the signals, by accelerated projected gradient (Beck and Teboulle 2009) on scaled signals."""
    use = rows.teaches if use is None else rows.teaches & use
    scale = rows.values[use].std(0) + 1e-6
    values, gold = rows.values[use] / scale, rows.gold[use]
    _, of = numpy.unique(rows.of[use], return_inverse=True)
    prior = numpy.array([PRIOR[kind].get(name, 0.0) for name in rows.names]) * scale
    bounds = (-math.inf if name in EITHER_SIGN else AT_LEAST[kind].get(name, 0.0) for name in rows.names)
    lowest = numpy.array(list(bounds)) * scale
    slope = _objective(values, gold, of, L2[kind], prior)
    weights, ahead, momentum, step = prior.copy(), prior.copy(), 1.0, 1.0
    for _ in range(ROUNDS):
        loss, gradient = slope(ahead)
        while True:
            following = numpy.maximum(ahead - step * gradient, lowest)
            moved = following - ahead
            bound = loss + gradient @ moved + moved @ moved / (2 * step)
            if slope(following)[0] <= bound + 1e-12:
                break
            step /= 2
        next_momentum = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / next_momentum * (following - weights)
        still = numpy.abs(following - weights).max() < SMALL_STEP
        weights, momentum = following, next_momentum
        if still:
            break
    learned: Floats = weights / scale
    return learned * _sharpness(rows, use, learned)


def _sharpness(rows: Rows, use: NDArray[numpy.bool_], weights: Floats) -> float:
    """The factor on all weights under which the shares they give are the likeliest: ranks stay, shares become true."""
    _, of = numpy.unique(rows.of[use], return_inverse=True)
    slope = _objective(rows.values[use] @ weights[:, None], rows.gold[use], of, 0.0, numpy.zeros(1))
    low, high = 0.0, SHARPEST
    while high - low > SMALL_STEP:
        middle = (low + high) / 2
        too_sharp = slope(numpy.array([middle]))[1][0] > 0
        low, high = (low, middle) if too_sharp else (middle, high)
    return high


def _objective(
    values: Floats, gold: NDArray[numpy.bool_], of: NDArray[numpy.int64], l2: float, prior: Floats
) -> Callable[[Floats], tuple[float, Floats]]:
    count = int(of.max()) + 1
    starts = numpy.searchsorted(of, numpy.arange(count))
    places = numpy.flatnonzero(gold)
    instance = of[places]
    share = 1.0 / numpy.maximum(numpy.bincount(instance, minlength=count), 1)[instance]

    def slope(weights: Floats) -> tuple[float, Floats]:
        odds = values @ weights
        best = numpy.maximum.reduceat(odds, starts)
        likely = numpy.exp(odds - best[of])
        wrong = numpy.bincount(of, likely * ~gold, minlength=count)
        against = numpy.maximum(wrong[instance] + likely[places], 1e-12)
        loss = float((share * (numpy.log(against) - odds[places] + best[instance])).sum())
        pressure = numpy.bincount(instance, share / against, minlength=count)
        gradient = values.T @ (likely * ~gold * pressure[of])
        gradient += values[places].T @ (share * (likely[places] / against - 1))
        away = weights - prior
        return loss / count + l2 * float(away @ away) / 2 / count, gradient / count + l2 * away / count

    return slope


def ranks_of(rows: Rows, log_odds: Floats, instances: Sequence[Mapping[str, Any]], at: int, kind: str) -> Ranks:
    """Where the gold places of one instance stand, from 1; a place that is listed twice counts once."""
    mine = numpy.flatnonzero(rows.of == at)
    order = mine[numpy.argsort(-log_odds[mine], kind="stable")]
    place = {name: number for number, name in enumerate(dict.fromkeys(rows.places[row] for row in order), start=1)}
    return [place.get(gold) for gold in instances[at][kind]]


def measured(every: Sequence[Ranks]) -> dict[str, float]:
    """Shares in percent over the instances that have a gold place."""
    known = [ranks for ranks in every if ranks]

    def within(depth: int, enough: Callable[[Sequence[bool]], bool]) -> float:
        return 100 * sum(enough([rank is not None and rank <= depth for rank in ranks]) for ranks in known) / len(known)

    scores = {f"any@{depth}": within(depth, any) for depth in (1, 5, 10)}
    scores |= {f"all@{depth}": within(depth, all) for depth in (1, 5, 10)}
    scores["mrr"] = sum(max((1 / rank for rank in ranks if rank), default=0.0) for ranks in known) / len(known)
    return scores


def write_weights(report: Mapping[str, Any]) -> None:
    """Replace the engine's weights, zeros left out."""
    lines = [
        "# Nats of log-odds that one unit of a signal adds. benchmarks/learn_localization.py wrote this and says how,",
        f"# from {report['learned_from']} issues of {report['repositories']} repositories. Not for hands.",
    ]
    for kind, weights in report["weights"].items():
        lines += ["", f"[{kind}]"]
        lines += [f"{name} = {value}" for name, value in sorted(weights.items()) if value]
    WEIGHTS.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
