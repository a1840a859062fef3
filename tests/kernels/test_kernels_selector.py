# SPDX-License-Identifier: GPL-2.0-only
"""Parsing selectors, and the errors about invalid ones."""

from pathlib import Path

import pytest

from conformance.errors import ConformanceError
from conformance.kernels import DEFAULT, SERIES, expand
from conformance.kernels.selector import Debian, Pinned, Tree, parse


def test_expand() -> None:
    assert expand([]) == [DEFAULT]
    assert expand(["all"]) == list(SERIES)
    assert expand(["7.2", "all", "7.2"]) == ["7.2", "5.10", "6.1", "6.12", "7.3"]
    assert expand(["tree:/x@v6", "debian:6.1.176-1"]) == ["tree:/x@v6", "debian:6.1.176-1"]


def test_parse() -> None:
    assert parse("6.1") == Pinned("6.1")
    assert parse("debian:7.3.4-1~bpo13+1") == Debian("7.3.4-1~bpo13+1")
    assert Debian("7.3.4-1~bpo13+1").series == "7.3"
    assert parse("tree:/linux") == Tree(Path("/linux"))
    assert parse("tree:/linux@v6.1-rc1^{}") == Tree(Path("/linux"), "v6.1-rc1^{}")
    assert parse("tree:~/linux") == Tree(Path.home() / "linux")


def test_an_at_in_the_name_of_a_directory_is_no_revision(tmp_path: Path) -> None:
    place = tmp_path / "linux@home"
    place.mkdir()
    assert parse(f"tree:{place}") == Tree(place)
    assert parse(f"tree:{place}@v6") == Tree(place, "v6")


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("6.2", "Did you mean 6.12 or debian:6.2?"),
        ("v6.1", "Did you mean 6.1?"),
        ("6.1.176-1", "Did you mean debian:6.1.176-1?"),
        ("6.1.176", "Did you mean debian:6.1.176?"),
        ("7.4", "debian:7.4?"),
        ("7.3~rc7", "debian:7.3~rc7?"),
        ("al", "Did you mean all?"),
        ("", "A kernel is 5.10"),
        ("nonsense", "A kernel is 5.10"),
        ("debian:", "debian:6.1.176-1"),
        ("debian:6.1/../x", "debian:6.1.176-1"),
        ("debian:--help", "debian:6.1.176-1"),
        ("debian:6", "debian:6.1.176-1"),
        ("debian:6.12.", "debian:6.1.176-1"),
        ("tree:", "tree:~/linux"),
        ("tree:@v6", "tree:~/linux@v6.12"),
        ("tree:/x@", "tree:~/linux@v6.12"),
        ("tree:/x@--output=y", "tree:~/linux@v6.12"),
    ],
)
def test_bad_selectors_are_explained(selector: str, hint: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        expand([selector])
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_directory_without_tree_is_recognised(tmp_path: Path) -> None:
    with pytest.raises(ConformanceError, match=f"write tree:{tmp_path}"):
        expand([str(tmp_path)])
