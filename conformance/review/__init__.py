# SPDX-License-Identifier: GPL-2.0-only
"""The effect of a change to the kernel: how each function of the MMU compares, and how sure that is."""

from conformance.review.difference import compare
from conformance.review.plan import ReviewPlan
from conformance.review.review import ConstantReview, FunctionReview, Review, Standing

__all__ = ["ConstantReview", "FunctionReview", "Review", "ReviewPlan", "Standing", "compare"]
