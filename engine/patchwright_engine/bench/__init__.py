"""Measure Patchwright on real bugs: instance files in SWE-bench form, their checkouts and environments, the verdicts.

Invariant: what the measured part is given never holds the answer; what it says is compared with runs of our own.
"""
