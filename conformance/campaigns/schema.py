# SPDX-License-Identifier: GPL-2.0-only
"""The schema of the file with a campaign's results, campaign.duckdb, version 1.

campaign, one row: what the campaign is about.
    schema      INTEGER    the version of this schema
    kind        VARCHAR    the kind of campaign
    suite       VARCHAR    the version of the suite: its number, and a digest of its code
    definition  VARCHAR    JSON: kernels, digests of patches, modes, seed, compiler, and what the kind adds
    planned     BIGINT     the number of units of the plan, the last time that the command was started
    begun       TIMESTAMP  when the campaign was begun, UTC

units, one row for each unit that was carried out, in the same transaction as its rows:
    id          VARCHAR    a digest of suite, kind and definition; the primary key
    definition  VARCHAR    JSON: what the unit consists of
    label       VARCHAR    a few words for people
    host        VARCHAR    the name of the machine that carried it out
    seconds     DOUBLE     wall time on that machine
    finished    TIMESTAMP  when its rows arrived, UTC

rows, what the units found:
    unit            VARCHAR  the id of the unit
    number          INTEGER  the place among the unit's rows; unit and number are the primary key
    subject         VARCHAR  the property, the story or the function that was judged
    verdict         VARCHAR  PASS, FAIL, SKIP, ERROR or MISS, or the outcome of a mutant
    kernel          VARCHAR  the kernel as reports name it, with patches
    version         VARCHAR  its version
    oracle          VARCHAR  what answered for it
    engine          VARCHAR  how inputs were chosen
    mode            VARCHAR  the mode, "" if that does not apply
    reason          VARCHAR  why it could not be judged, or what a PASS covers
    steps           BIGINT   the number of compared steps or cases
    seconds         DOUBLE   wall time
    counterexample  VARCHAR  JSON: the fields of a Counterexample (conformance.differential.verdict), or ""
    again           VARCHAR  the command that shows it again; "" if nothing was found
    details         VARCHAR  JSON: what the kind adds to the row; "" if nothing

details of guided lockstep; edges are those of the MMU's control flow to which gcc gives counters:
    edges    how many edges the unit was the first to reach, among those it was given and itself
    total    how many are reached by the stories that it was given and its own
    of       how many there are
    layout   a digest of the functions and their numbers of edges: where it differs, edges have other numbers
    given    the number of stories that it was given
    reached  the edges that it reached: base64 of a bitmap compressed by zlib, edge n is bit n%8 of byte n/8
    stories  base64 of the stories it adds to the corpus, as conformance.scenarios.packed has them
    found    the same with the shortened story that shows a difference, if there is one

details of races of drawn programs:
    drawn, explored, kept   how many programs were drawn, explored, and kept to be varied
    edges                   how many edges they showed on the model
    schedules               how many schedules were run, by side
    violating               how many of them violated an invariant, by side and invariant
    race_file               in the row of a finding: the text of the file for `conformance explore replay`

A new version of this schema gets a new number; a file with another number is refused.
"""

from __future__ import annotations

__all__ = ["FILE", "SCHEMA", "TABLES"]

SCHEMA = 1

FILE = "campaign.duckdb"

TABLES = """
CREATE TABLE campaign (
    schema INTEGER, kind VARCHAR, suite VARCHAR, definition VARCHAR, planned BIGINT, begun TIMESTAMP
);
CREATE TABLE units (
    id VARCHAR PRIMARY KEY, definition VARCHAR, label VARCHAR, host VARCHAR, seconds DOUBLE,
    finished TIMESTAMP
);
CREATE TABLE rows (
    unit VARCHAR, number INTEGER, subject VARCHAR, verdict VARCHAR, kernel VARCHAR, version VARCHAR,
    oracle VARCHAR, engine VARCHAR, mode VARCHAR, reason VARCHAR, steps BIGINT, seconds DOUBLE,
    counterexample VARCHAR, again VARCHAR, details VARCHAR, PRIMARY KEY (unit, number)
);
"""
