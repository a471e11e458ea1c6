"""Readers of the reports that test runners of other languages write: bytes in, one outcome per test out.

A report is written by the code under test as much as by its runner: a reader bounds what it takes, expands no
entities, and names what is missing in `problem` in place of guessing.
"""
