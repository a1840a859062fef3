# SPDX-License-Identifier: GPL-2.0-only
"""The meaning of a difference: the rule that it breaks, with its source, or else the facts that differ."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.differential.comparison import Comparison, Difference
from conformance.differential.rules.scene import Scene
from conformance.differential.rules.table import CHANGES, RULES, Rule

__all__ = ["CHANGES", "RULES", "Breach", "Rule", "Scene", "broken", "facts"]


@dataclass(frozen=True)
class Breach:
    """A rule that a difference breaks, if any, as one side is accused in ``scene``.

    ``where`` names that side in a review, to begin the sentence; ``rank`` is the rule's place in the tables.
    """

    scene: Scene
    rule: Rule | None
    where: str
    rank: int


def broken(comparison: Comparison, found: Difference) -> Breach:
    """The first rule that one side breaks and the other does not.

    The accused is the left side, the kernel. In a review it is first the kernel after the change, then the
    one before it.
    """
    k, prop = comparison.semantics, comparison.property
    one = Scene(k, prop, found.case, found.left, found.right)
    other = Scene(k, prop, found.case, found.right, found.left)
    scenes = ((other, "after: "), (one, "before: ")) if comparison.review else ((one, ""),)
    for rules, least in ((RULES, 0), (CHANGES, len(RULES))):
        for scene, where in scenes:
            for rank, rule in enumerate(rules, least):
                if rule.broken(scene):
                    return Breach(scene, rule, where, rank)
    return Breach(scenes[0][0], None, "", len(RULES) + len(CHANGES))


def facts(scene: Scene) -> str:
    """The names of what differs: fields of an SPTE, other words, events."""
    differing = [_fact(scene, name) for name in scene.seen if scene.differs(name)]
    for event in scene.prop.events:
        seen, expected = scene.event(event)
        if seen != expected:
            differing.append(f"{event} {'is missing' if seen < expected else 'is new'}")
    if scene.seen_words[-1] >> 56 != scene.expected_words[-1] >> 56:
        differing.append("an event that the property does not declare")
    return "; ".join(differing)


def _fact(scene: Scene, name: str) -> str:
    if name == scene.changed and scene.unlike:
        return f"{name} in {', '.join(scene.unlike)}"
    return name
