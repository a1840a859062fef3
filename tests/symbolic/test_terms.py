# SPDX-License-Identifier: GPL-2.0-only
"""Terms: simplified or not, their formulas have the values that the operations have."""

from __future__ import annotations

import random

import numpy as np
import pytest

z3 = pytest.importorskip("z3")
from conformance.symbolic.evaluating import Evaluator  # noqa: E402
from conformance.symbolic.formulas import Formulas  # noqa: E402
from conformance.symbolic.path_conditions import PathConditions  # noqa: E402
from conformance.symbolic.terms import Term, Terms  # noqa: E402

WIDTHS = (1, 8, 32, 64)
NAMES = ("a", "b", "c")


def signed(value, width):
    return value - (1 << width) if value >> (width - 1) else value


REFERENCE = {
    "and_": lambda a, b, n: a & b,
    "or_": lambda a, b, n: a | b,
    "xor": lambda a, b, n: a ^ b,
    "add": lambda a, b, n: a + b,
    "sub": lambda a, b, n: a - b,
    "mul": lambda a, b, n: a * b,
    "shl": lambda a, b, n: a << b if b < n else 0,
    "shr": lambda a, b, n: a >> b if b < n else 0,
    "sar": lambda a, b, n: signed(a, n) >> min(b, n - 1),
}
DECISIONS = {
    "eq": lambda a, b, n: a == b,
    "ult": lambda a, b, n: a < b,
    "slt": lambda a, b, n: signed(a, n) < signed(b, n),
    "carry": lambda a, b, n: a + b >= 1 << n,
    "scarry": lambda a, b, n: signed(a, n) + signed(b, n) != signed((a + b) % (1 << n), n),
    "sborrow": lambda a, b, n: signed(a, n) - signed(b, n) != signed((a - b) % (1 << n), n),
}


class Pool:
    """Values by width, each with its number for each of a few inputs."""

    def __init__(self, rng, cases=4):
        self.rng = rng
        self.terms = Terms()
        self.inputs = {
            f"{name}{width}": [rng.getrandbits(width) for _ in range(cases)]
            for name in NAMES
            for width in WIDTHS
        }
        self.values = {width: [] for width in WIDTHS}
        for width in WIDTHS:
            for name in NAMES:
                made = self.terms.leaf(f"{name}{width}", width)
                self.values[width].append((made, self.inputs[f"{name}{width}"]))
            constants = [0, 1, (1 << width) - 1, 1 << (width - 1), rng.getrandbits(width), 2, 12, 0xFF]
            self.values[width] += [(c % (1 << width), [c % (1 << width)] * cases) for c in constants]

    def pick(self, width):
        return self.rng.choice(self.values[width])

    def put(self, width, made, expected):
        self.values[width].append((made, [value % (1 << width) for value in expected]))

    def grow(self):
        rng, terms, width = self.rng, self.terms, self.rng.choice(WIDTHS)
        (a, xs), (b, ys) = self.pick(width), self.pick(width)
        how = rng.randrange(7)
        if how <= 1:
            name, reference = rng.choice(list(REFERENCE.items()))
            made = getattr(terms, name)(a, b, width)
            self.put(width, made, [reference(x, y, width) for x, y in zip(xs, ys, strict=True)])
        elif how == 2:
            name, reference = rng.choice(list(DECISIONS.items()))
            if name in ("eq", "ult", "slt"):
                made = getattr(terms, name)(a, b, width)
            else:
                made = terms.overflow(name, a, b, width)
            self.put(1, made, [int(reference(x, y, width)) for x, y in zip(xs, ys, strict=True)])
        elif how == 3:
            c, zs = self.pick(1)
            made = terms.ite(c, a, b, width)
            self.put(width, made, [x if z else y for x, y, z in zip(xs, ys, zs, strict=True)])
        elif how == 4:
            size = rng.choice([n for n in WIDTHS if n <= width])
            at = rng.randrange(width - size + 1)
            self.put(size, terms.extract(a, at, size), [x >> at for x in xs])
        elif how == 5 and width < 64:
            wider = rng.choice([n for n in WIDTHS if n > width])
            if rng.randrange(2):
                self.put(wider, terms.zero_extend(a, width, wider - width), xs)
            else:
                made = terms.sign_extend(a, width, wider - width)
                self.put(wider, made, [signed(x, width) for x in xs])
        elif how == 6 and width == 32:
            made = terms.concat((a, 32), (b, 32))
            self.put(64, made, [x << 32 | y for x, y in zip(xs, ys, strict=True)])


@pytest.mark.parametrize("seed", range(40))
def test_simplified_terms_keep_their_values(seed):
    pool = Pool(random.Random(seed))
    for _ in range(300):
        pool.grow()
    formulas = Formulas(pool.terms)
    made = [(term, n, xs) for n in WIDTHS for term, xs in pool.values[n]]
    evaluator = Evaluator([formulas.word(term, n) for term, n, _ in made])
    inputs = {name: np.array(values, np.uint64) for name, values in pool.inputs.items()}
    for (term, _, expected), got in zip(made, evaluator(inputs), strict=True):
        assert got.tolist() == expected, term
        if isinstance(term, Term):
            assert all(value & term.zeros == 0 and value & term.ones == term.ones for value in expected)


@pytest.mark.parametrize("seed", range(10))
def test_path_conditions_keep_their_values(seed):
    rng = random.Random(seed)
    terms = Terms()
    conditions = PathConditions(terms)
    names = [f"g{n}" for n in range(5)]
    cases = 32
    inputs = {name: [case >> n & 1 for case in range(cases)] for n, name in enumerate(names)}
    made = [(conditions.of(terms.leaf(name, 1)), inputs[name]) for name in names]
    for _ in range(60):
        (a, xs), (b, ys), (c, zs) = (rng.choice(made) for _ in range(3))
        made.append((conditions.choose(a, b, c), [y if x else z for x, y, z in zip(xs, ys, zs, strict=True)]))
        if b:
            # They must be equal only where b holds.
            simple = conditions.given(a, b)
            assert conditions.both(simple, b) == conditions.both(a, b)
    formulas = Formulas(terms)
    evaluator = Evaluator([formulas.word(conditions.term(condition), 1) for condition, _ in made])
    values = evaluator({name: np.array(column, np.uint64) for name, column in inputs.items()})
    for (_, expected), got in zip(made, values, strict=True):
        assert got.tolist() == expected


def test_a_term_with_all_bits_known_is_an_int():
    terms = Terms()
    a = terms.leaf("a", 64)
    assert terms.and_(terms.or_(a, 6, 64), 6, 64) == 6
    assert terms.eq(terms.or_(a, 2, 64), 1, 64) == 0
    assert terms.sub(a, a, 64) == 0
    assert terms.ult(terms.and_(a, 0xFF, 64), 0x100, 64) == 1
    bit = terms.extract(a, 1, 1)
    assert terms.not_(terms.eq(terms.and_(a, 2, 64), 0, 64), 1) is bit


def test_a_signed_comparison_is_recognised_from_flags():
    terms = Terms()
    a, b = terms.leaf("a", 64), terms.leaf("b", 64)
    sign = terms.extract(terms.sub(a, b, 64), 63, 1)
    assert terms.xor(sign, terms.overflow("sborrow", a, b, 64), 1) is terms.slt(a, b, 64)
