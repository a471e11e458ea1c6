"""From a patch to proof: environment and test discovery, reproduction, regression, evidence.

Invariant: every claim comes from a RunReport of our own; repository text chooses no command, interpreter or policy.
"""
