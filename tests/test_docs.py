# SPDX-License-Identifier: GPL-2.0-only
"""The documents name only what exists: links, anchors, functions, paths, commands and their options."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from conformance.cli.group import commands

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
CHECK_SUBJECT = ROOT / ".ci" / "check-subject"

LINK = re.compile(r"\[([^][]+)\]\(([^()\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
FUNCTION = re.compile(r"`(\w+)(?:\(\))?`")

pytestmark = pytest.mark.skipif(not (ROOT / "README.md").is_file(), reason="not in a checkout")


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


each_page = pytest.mark.parametrize("page", PAGES, ids=page_id)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def defined(module: Path) -> set[str]:
    """The names that a module defines at its top."""
    names = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def broken_links(page: Path) -> list[str]:
    """Links to what does not exist, and functions that the linked module does not define."""
    wrong = []
    for text, target in LINK.findall(FENCE.sub("", page.read_text())):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        function = FUNCTION.fullmatch(text)
        if not linked.exists():
            wrong.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(linked):
            wrong.append(f"{target}: no such heading")
        elif function and linked.suffix == ".py" and function[1] not in defined(linked):
            wrong.append(f"{target} does not define {function[1]}")
    return wrong


def absent_paths(page: Path) -> list[str]:
    """Paths in backticks that begin as one of the repository's, and do not exist."""
    text = FENCE.sub("", page.read_text())
    tops = {path.name for path in ROOT.iterdir()}
    named = [code for code in CODE.findall(text) if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", code)]
    made_here = "vendor_headers/6.1/"
    return [
        code
        for code in named
        if "/" in code and code.split("/")[0] in tops and code != made_here and not (ROOT / code).exists()
    ]


def command_lines(page: Path) -> list[str]:
    """Everything from a word ``conformance`` on to the end of its code, in backticks and in blocks."""
    text = page.read_text()
    lines = [line for block in FENCE.findall(text) for line in block.splitlines()[1:-1]]
    lines += CODE.findall(FENCE.sub("", text))
    found = []
    for line in lines:
        code = line.split("  # ")[0]
        found += [part.strip() for part in re.findall(r"(?:^|[\s/'])(conformance [a-z].*)", code)]
    return found


def unknown(command: str) -> str:
    """What in a command line does not exist: a subcommand, or an option of it; "" if all does."""
    words = re.split(r"\s[|>]\s", command.rstrip("'"))[0].split()[1:]
    at: click.Command = commands
    context = click.Context(commands)
    while isinstance(at, click.Group) and not (words and words[0].startswith("--")):
        if not words:
            return ""
        name = words.pop(0)
        found = at.get_command(context, name)
        if found is None:
            return f"{at.name} has no command {name}"
        at = found
    known = {option for param in at.params for option in (*param.opts, *param.secondary_opts)}
    options = [word.split("=")[0] for word in words if word.startswith("--")]
    return ", ".join(f"{at.name} has no option {option}" for option in options if option not in known)


@each_page
def test_links_lead_somewhere(page):
    assert broken_links(page) == []


@each_page
def test_paths_exist(page):
    assert absent_paths(page) == []


@each_page
def test_commands_and_their_options_exist(page):
    assert [wrong for command in command_lines(page) if (wrong := unknown(command))] == []


def test_the_readme_leads_to_every_page():
    linked = {target.partition("#")[0] for _, target in LINK.findall((ROOT / "README.md").read_text())}
    assert {page_id(page) for page in PAGES} - linked == {"README.md"}


def test_what_is_checked_is_found(tmp_path):
    """The checks themselves notice a dead link, anchor, function, path, command and option."""
    module = tmp_path / "module.py"
    module.write_text("def there(): ...\n")
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n[a](gone.md) [b](#a-page) [c](#gone) [`there()`](module.py) [`gone()`](module.py)\n"
        "`conformance/gone.py` `conformance/model` `conformance run --gone`\n"
        "```sh\nconformance kernels gone  # a comment\nsudo conformance run --kernel 6.1 | jq --gone\n```\n"
    )
    assert broken_links(page) == [
        "gone.md: no such file",
        "#gone: no such heading",
        "module.py does not define gone",
    ]
    assert absent_paths(page) == ["conformance/gone.py"]
    assert [unknown(command) for command in command_lines(page)] == [
        "kernels has no command gone",
        "",
        "run has no option --gone",
    ]


@pytest.mark.parametrize(
    ("subject", "fine"),
    [
        ("model/tdp_mmu: return True when an SPTE was installed", True),
        ("README, docs: name the new pages", True),
        ("Merge branch 'topic'", True),
        ("no area here", False),
        ("area: ends with a full stop.", False),
        ("area: " + "x" * 70, False),
        ("", False),
    ],
)
def test_commit_subjects_are_checked(tmp_path, subject, fine):
    message = tmp_path / "message"
    message.write_text(f"{subject}\n\nWhy it is so.\n# a comment of git\n")
    done = subprocess.run([sys.executable, CHECK_SUBJECT, message], capture_output=True, text=True)
    assert (done.returncode == 0) is fine, done.stderr
