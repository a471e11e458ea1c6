"""`patchwright bench WHAT`: measure Patchwright on real issues."""

import argparse

from patchwright_engine.cli import bench_localize, bench_repair


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `bench` with its measurements."""
    parser = subparsers.add_parser("bench", help="measure Patchwright on instance files in SWE-bench form")
    kinds = parser.add_subparsers(title="what to measure", metavar="WHAT", required=True)
    bench_localize.add_parser(kinds)
    bench_repair.add_parser(kinds)
