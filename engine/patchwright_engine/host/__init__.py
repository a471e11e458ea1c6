"""The engine host: the engine as a child process of the language server, one per workspace folder.

`messages.py` what goes over the pipe, `service.py` jobs and replies, `placement.py` where a fix lands in
today's text, `__main__.py` the process (`python -m patchwright_engine.host --root DIR`).
"""
