"""Telling the result.

- ``verdict``: the rules that turn results of checks into a verdict, an exit code and a sentence.
- ``phases``: how long each phase of a worker's start took.
- ``table``: the table on the terminal.
- ``summary``: the same as plain text, with the phases (``summary.txt``).
- ``schema``: ``report.json``, its JSON schema, and writing both files.
"""
