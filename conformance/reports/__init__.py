# SPDX-License-Identifier: GPL-2.0-only
"""The formats of reports: for the terminal, JUnit for CI, KTAP for kernel tooling, JSON, SARIF, mail.

Each format is a module that renders a :class:`~conformance.differential.verdict.Report` as text. What they
share (the text of a difference, what counts as an error, which characters are escaped) is in ``difference``,
``rows`` and ``text``.
"""

__all__: list[str] = []
