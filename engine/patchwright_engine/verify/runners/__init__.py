"""Programs that run inside the sandbox under the project's own interpreter: Python 3.7 or newer, no import of ours.

Both write one sealed JSON object a line to the file named by PATCHWRIGHT_REPORT (`patchwright_report.py`): `test` (id,
when, outcome, failure), `collect` (id, failure), `state` (what of the test machinery was replaced) and, last of all,
`end` (exit). A report without its end was cut short.
"""
