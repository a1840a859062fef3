# SPDX-License-Identifier: GPL-2.0-only
"""What a change to the kernel changes: every function of the MMU, before and after, and how sure that is."""

from conformance.review.difference import compare
from conformance.review.plan import ReviewPlan
from conformance.review.review import ConstantReview, FunctionReview, Review, Standing

__all__ = ["ConstantReview", "FunctionReview", "Review", "ReviewPlan", "Standing", "compare"]
