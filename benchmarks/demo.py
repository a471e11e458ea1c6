"""`make demo`: Patchwright fixes a real, publicly known bug of a real package with a real local model.

    python benchmarks/demo.py [BUG] [--seed N] [--budget B] [--model M] [--list]

Takes the package's source at the buggy version from PyPI, gives `patchwright fix` the issue in words, applies the
verified fix to a copy, and runs upstream's own later test for that bug, which the search never saw. Bugs are listed
in `demo_bugs.toml`. Exit 0: verified, and upstream's test passes.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

from patchwright_engine.control import CancelToken
from patchwright_engine.errors import PatchwrightError
from patchwright_engine.sandbox.select import select_sandbox
from patchwright_engine.verify.environment import discover_environment
from patchwright_engine.verify.runs import run_tests

HERE = Path(__file__).resolve().parent
WORK = HERE.parent / "demo-work"


@dataclass(frozen=True, slots=True)
class Bug:
    """One entry of `demo_bugs.toml`."""

    name: str
    package: str
    buggy: str
    fixed: str
    reference: str
    issue: str
    upstream_file: str
    """Test file in the fixed version's source that holds upstream's later test."""
    upstream_tests: tuple[str, ...]
    """Node ids inside that file."""
    minutes: float
    """Expected minutes on 2 cores."""
    drop: tuple[str, ...] = ()
    """Paths removed from the buggy source before the search (e.g. docs of several megabytes)."""


def load_bugs() -> list[Bug]:
    """All bugs; the first is the default."""
    table = tomllib.loads((HERE / "demo_bugs.toml").read_text(encoding="utf-8"))
    return [
        Bug(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}, name=name)
        for name, entry in table.items()
    ]


def fetch_source(package: str, version: str) -> Path:
    """The package's source distribution, unpacked once, fetched with pip from the configured index."""
    target = WORK / "src" / f"{package}-{version}"
    if target.exists():
        return target
    downloads = WORK / "downloads" / f"{package}-{version}"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--disable-pip-version-check",
            "--no-deps",
            "--no-binary",
            ":all:",
            "-d",
            str(downloads),
            f"{package}=={version}",
        ],
        check=True,
    )
    archive = next(downloads.glob("*.tar.gz"))
    unpacked = downloads / "unpacked"
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(unpacked, filter="data")
        else:  # Python before 3.11.4
            tar.extractall(unpacked)
    target.parent.mkdir(parents=True, exist_ok=True)
    next(unpacked.iterdir()).rename(target)
    return target


def prepare(bug: Bug) -> Path:
    """A fresh copy of the buggy source as a git repository, as a developer would have it."""
    repo = WORK / bug.name / "repo"
    shutil.rmtree(repo, ignore_errors=True)
    shutil.copytree(fetch_source(bug.package, bug.buggy), repo)
    for path in bug.drop:
        shutil.rmtree(repo / path, ignore_errors=True)
    git = [
        "git",
        "-c",
        "user.name=demo",
        "-c",
        "user.email=demo@localhost",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "core.hooksPath=/dev/null",
        "-C",
        str(repo),
    ]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", f"{bug.package} {bug.buggy}"]):
        subprocess.run([*git, *command], check=True)
    return repo


def upstream_test_passes(bug: Bug, repo: Path) -> tuple[bool, str]:
    """Run upstream's later test over `repo` in the sandbox; returns (passed, the end of its output)."""
    copy = WORK / bug.name / "judged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(repo, copy, ignore=shutil.ignore_patterns(".git"))
    fixed = fetch_source(bug.package, bug.fixed)
    shutil.copy(fixed / bug.upstream_file, copy / bug.upstream_file)
    environment = discover_environment(copy, override=Path(sys.executable))
    nodes = [f"{bug.upstream_file}::{test}" for test in bug.upstream_tests]
    report = run_tests(select_sandbox(), copy, environment, nodes, CancelToken())
    passed = bool(report.results) and set(report.results.values()) <= {"passed", "skipped"} and not report.failures
    return passed, "\n".join(failure.text for failure in report.failures.values()) or report.summary


def run_demo(bug: Bug, seed: int, budget: str, model: str | None) -> dict[str, object]:
    """Run one bug once and say how it went."""
    repo = prepare(bug)
    before, _ = upstream_test_passes(bug, repo)
    if before:
        raise SystemExit(f"{bug.name}: upstream's test passes before any fix; the entry is wrong")
    print(f"== {bug.package} {bug.buggy} ({bug.reference}), about {bug.minutes:g} minutes on 2 cores")
    print("\n".join(f"   | {line}" for line in bug.issue.strip().splitlines()), flush=True)
    command = [sys.executable, "-m", "patchwright_engine", "fix", "-", "--repo", str(repo), "--json", "--apply"]
    command += ["--budget", budget, "--seed", str(seed), "--python", sys.executable]
    command += ["--model", model] if model else []
    print(f"$ patchwright fix issue.txt --repo {repo.relative_to(WORK.parent)} --budget {budget} --apply", flush=True)
    started = time.monotonic()
    run = subprocess.run(command, input=bug.issue, text=True, stdout=subprocess.PIPE, check=False)
    minutes = (time.monotonic() - started) / 60
    result = (
        json.loads(run.stdout) if run.stdout.strip() else {"fixes": [], "cost": {}, "stopped": "error", "trace": ""}
    )
    fix = result["fixes"][0] if result["fixes"] else None
    verified = run.returncode == 0 and fix is not None
    passes, output = upstream_test_passes(bug, repo) if verified else (False, "")
    if fix:
        print(fix["diff"])
        for step in fix["runs"]:
            print(f"   {step['kind']}: before {step['before']}; after {step['after']}   $ {step['command']}")
        print(f"   evidence: {fix['evidence']}")
    if verified:
        print(f"   upstream's own later test {', '.join(bug.upstream_tests)}: {'passes' if passes else 'FAILS'}")
        if not passes:
            print(output)
    else:
        print(f"   no verified fix ({result['stopped']})")
    print(f"   {minutes:.1f} minutes, {result['cost'].get('rollouts', 0)} rollouts; trace: {result['trace']}")
    return {
        "bug": bug.name,
        "seed": seed,
        "budget": budget,
        "verified": verified,
        "upstream_test": passes,
        "evidence": fix["evidence"] if fix else None,
        "rollouts": result["cost"].get("rollouts", 0),
        "minutes": round(minutes, 2),
    }


def main() -> int:
    """Parse the command line, run the demo, exit 0 on a verified fix that upstream's test accepts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bug", nargs="?", help="which bug (default: the first)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", default="standard")
    parser.add_argument("--model", help="as for `patchwright fix`")
    parser.add_argument("--list", action="store_true", help="list the bugs")
    parser.add_argument("--json", type=Path, metavar="OUT", help="append the outcome as one JSON line")
    arguments = parser.parse_args()
    bugs = {bug.name: bug for bug in load_bugs()}
    if arguments.list:
        for bug in bugs.values():
            print(f"{bug.name:24} {bug.package} {bug.buggy}, about {bug.minutes:g} minutes; {bug.reference}")
        return 0
    name = arguments.bug or next(iter(bugs))
    if name not in bugs:
        print(f"no bug '{name}'; there are: {', '.join(bugs)}", file=sys.stderr)
        return 2
    try:
        outcome = run_demo(bugs[name], arguments.seed, arguments.budget, arguments.model)
    except PatchwrightError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code
    except subprocess.CalledProcessError as error:
        print(f"demo: `{' '.join(error.cmd[:6])} ...` failed; its message stands above", file=sys.stderr)
        return 3
    if arguments.json:
        with arguments.json.open("a", encoding="utf-8") as log:
            log.write(json.dumps(outcome) + "\n")
    return 0 if outcome["verified"] and outcome["upstream_test"] else 1


if __name__ == "__main__":
    sys.exit(main())
