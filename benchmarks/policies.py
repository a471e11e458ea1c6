"""Which policy of Dev-Search pays? Recorded searches replayed under other numbers, without a model.

    python benchmarks/policies.py --results DIR [--results DIR …] [--policy FILE …] [--budget N] [--json OUT]

DIR is what `patchwright bench repair --strategy dev-search --out DIR` has made, with its traces; of each issue and
repetition the search with the largest budget is replayed. Compared are the packaged policy, one that never stops
before its budget ('fixed'), and each FILE, a copy of `search/policy.toml` with other numbers. Best recorded with a
policy that never stops, since a replay can only draw what was written: 'missing' is the share of rollouts for which
nothing was. Resolved is by the hidden tests; tokens are those up to the last candidate.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from patchwright_engine.bench.outcomes import Outcome, read_outcomes
from patchwright_engine.bench.searched import last_search
from patchwright_engine.errors import BadInput
from patchwright_engine.search.policy import Policy, load_policy
from patchwright_engine.search.simulate import Recorded, record, replay
from patchwright_engine.search.strategies import DEV_SEARCH
from patchwright_engine.search.trace import read_trace


def main() -> int:
    """Print the table, write OUT; 1 when nothing was recorded, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, action="append", required=True, metavar="DIR")
    parser.add_argument("--policy", type=Path, action="append", default=[], metavar="FILE")
    parser.add_argument("--budget", type=int, default=8, metavar="N", help="rollouts at most (default: 8)")
    parser.add_argument("--json", type=Path, metavar="OUT")
    arguments = parser.parse_args()
    if arguments.budget < 1:
        parser.error("--budget is 1 or more")
    try:
        policies = policies_of(arguments.policy)
        searches = [one for folder in arguments.results for one in recorded_searches(folder)]
    except BadInput as error:
        sys.stderr.write(f"{error.message}. {error.cure}\n")
        return 2
    rows = [row_of(name, policy, searches, arguments.budget) for name, policy in policies.items()] if searches else []
    sys.stdout.write(f"{len(searches)} recorded searches, at most {arguments.budget} rollouts\n")
    for row in rows:
        sys.stdout.write(
            f"{row['policy']:24} resolved {row['resolved']:4}  proven and right {row['right']} of {row['proven']}  "
            f"rollouts {row['rollouts']:6.2f}  tokens {row['tokens']:8.0f}  missing {row['missing']:.1%}\n"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"searches": len(searches), "budget": arguments.budget, "rows": rows}))
    return 0 if searches else 1


def policies_of(paths: list[Path]) -> dict[str, Policy]:
    """The policies to compare, by name. Raises BadInput."""
    packaged = load_policy()
    # `untold` bounds the candidates of issues without a test, which a fixed budget does not.
    policies = {"packaged": packaged, "fixed": replace(packaged, confidence=1.0, gain=0.0, untold=1_000)}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"cannot read the policy {path}: {error}", "Give a copy of search/policy.toml.") from error
        policies[path.stem] = load_policy(text)
    return policies


def recorded_searches(folder: Path) -> Iterator[tuple[Recorded, frozenset[str]]]:
    """What can be replayed of a folder of results, each with the patches that are right. Raises BadInput."""
    deepest: dict[tuple[str, int], Outcome] = {}
    for outcome in read_outcomes(folder).values():
        key = outcome.instance_id, outcome.repetition
        if outcome.cell.strategy == DEV_SEARCH and outcome.trace:
            deepest[key] = max(deepest.get(key, outcome), outcome, key=lambda one: one.cell.budget)
    for outcome in deepest.values():
        recorded = record(last_search(list(read_trace(folder / outcome.trace))))
        if recorded is not None:
            yield recorded, frozenset(outcome.right)


def row_of(
    name: str, policy: Policy, searches: list[tuple[Recorded, frozenset[str]]], budget: int
) -> Mapping[str, Any]:
    """One line of the table: sums over the searches, means for rollouts and tokens."""
    made = [(replay(recorded, policy, budget), right) for recorded, right in searches]
    proven = [one.patch in right for one, right in made if one.evidence is not None and one.evidence.verified]
    rollouts = sum(one.rollouts for one, _ in made)
    return {
        "policy": name,
        "resolved": sum(one.patch in right for one, right in made),
        "proven": len(proven),
        "right": sum(proven),
        "rollouts": rollouts / len(made),
        "tokens": sum(one.tokens for one, _ in made) / len(made),
        "missing": sum(one.missing for one, _ in made) / max(1, rollouts),
    }


if __name__ == "__main__":
    raise SystemExit(main())
