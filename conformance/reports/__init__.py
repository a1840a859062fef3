# SPDX-License-Identifier: GPL-2.0-only
"""How results are written: for people (terminal), for CI (JUnit), for kernel tooling (KTAP), as JSON.

Each format is one module that turns a whole :class:`~conformance.differential.verdict.Report` into text.
What they must agree on (the wording of a difference, what counts as an error, what may stand in one
line) is in ``difference``, ``rows`` and ``text``, written once.
"""

__all__: list[str] = []
