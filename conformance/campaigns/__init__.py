# SPDX-License-Identifier: GPL-2.0-only
"""Campaigns: many small units of work, carried out by Dask on one machine or on many.

The reading order: unit (what a unit of work and a kind of campaign are), worker (what runs on a worker),
cluster (Dask), campaign, schema and results (what was found, and the file of it), engine (how units get from
the plan to the file), run_campaign (all of it), and the kinds: lockstep, mutants, commits.
"""
