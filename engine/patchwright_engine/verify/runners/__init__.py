"""Programs that run inside the sandbox under the project's own interpreter: Python 3.7 or newer, no import of ours.

All write one sealed JSON object a line to the file named by PATCHWRIGHT_REPORT (`patchwright_report.py`): `start` (id),
`test` (id, when, outcome, failure), `loaded` (id) after the `start` of a file that was imported, `collect` (id,
failure), `note` (text), `state` (what of the test machinery was replaced) and, last of all, `end` (exit). A report
without its end was cut short. `patchwright_node.mjs` is a reporter for Node's own runner, with seals of its own.
"""
