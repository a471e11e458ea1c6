"""Programs that run inside the sandbox under the project's own interpreter: Python 3.7 or newer, no import of ours.

`patchwright_node.mjs` does the same for Node.

All write one JSON object a line to the file named by PATCHWRIGHT_REPORT: `test` (id, when, outcome, failure),
`collect` (id, failure), `note` (text) and, last of all, `end` (exit). A report without its end was cut short.
"""
