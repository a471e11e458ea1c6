"""Isolation for generated code. One way in: `Sandbox.run(Command, workspace)`.

Invariant: nothing generated runs outside a sandbox, and nothing retries outside one.
"""
