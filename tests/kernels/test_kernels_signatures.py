# SPDX-License-Identifier: GPL-2.0-only
"""Packages are accepted only with Debian's signature, whatever this machine's apt settings are."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from kernel_samples import Said

from conformance.errors import ConformanceError
from conformance.kernels import apt, archive
from conformance.kernels.archive import Archive, Offer, Unreachable

LACKING = [name for name in ("apt-get", "dpkg-deb", "gpg", "gpgv", "xz") if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(LACKING), reason=f"needs {', '.join(LACKING)}")

SUITE = "bookworm"
PACKAGE, VERSION = "linux-source-6.1", "6.1.7-1"
DAY = 24 * 3600


class Keys:
    """A throw-away keyring."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home
        home.mkdir(mode=0o700)
        self.gpg("--quick-gen-key", f"{name} <{name}@invalid>", "rsa2048", "sign", "0")
        self.exported = home / "keyring.gpg"
        self.gpg("--output", str(self.exported), "--export")

    def gpg(self, *words: str) -> None:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--yes", "--passphrase", "", "--quiet"]
        subprocess.run([*command, "--pinentry-mode", "loopback", *words], check=True, capture_output=True)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Keys, Keys]]:
    """Keys in place of Debian's, and a foreign one."""
    # Sockets of gpg's agent have short names.
    place = Path(os.path.realpath(tmp_path_factory.mktemp("g")))
    pair = Keys(place / "a", "archive"), Keys(place / "b", "foreign")
    yield pair
    for one in pair:
        one.close()


class Repository:
    """An archive with one package in one suite."""

    def __init__(self, place: Path, keys: tuple[Keys, Keys]) -> None:
        self.place = place
        self.keys, self.foreign = keys
        self.release = place / f"dists/{SUITE}/Release"
        self.signed = self.release.with_name("InRelease")
        self.package()
        self.write()
        self.sign()

    def package(self) -> None:
        tree = self.place / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN/control").write_text(
            f"Package: {PACKAGE}\nVersion: {VERSION}\nArchitecture: all\nMaintainer: t <t@invalid>\n"
            "Description: source\n"
        )
        self.deb = self.place / f"pool/{PACKAGE}_{VERSION}_all.deb"
        self.deb.parent.mkdir()
        words = ["dpkg-deb", "--root-owner-group", "-b", str(tree), str(self.deb)]
        subprocess.run(words, check=True, capture_output=True)

    def write(self, hashes: str = "SHA256", suite: str = SUITE, **fields: str) -> None:
        """The lists of packages, with their digests."""
        folder = self.release.parent / "main/binary-amd64"
        folder.mkdir(parents=True, exist_ok=True)
        content = self.deb.read_bytes()
        listed = (
            f"Package: {PACKAGE}\nVersion: {VERSION}\nArchitecture: all\nMaintainer: t <t@invalid>\n"
            f"Filename: pool/{self.deb.name}\nSize: {len(content)}\n"
            f"SHA256: {hashlib.sha256(content).hexdigest()}\nDescription: source\n\n"
        ).encode()
        digests = []
        for name, data in (("Packages", listed), ("Packages.gz", gzip.compress(listed))):
            (folder / name).write_bytes(data)
            digest = hashlib.new(hashes.replace("Sum", ""), data).hexdigest()
            digests.append(f" {digest} {len(data)} main/binary-amd64/{name}\n")
        given = {
            "Origin": "Debian",
            "Label": "Debian",
            "Suite": suite,
            "Codename": suite,
            "Date": formatdate(time.time() - DAY, usegmt=True),
            "Valid-Until": formatdate(time.time() + DAY, usegmt=True),
            "Architectures": "all amd64",
            "Components": "main",
            "Acquire-By-Hash": "no",
        } | {name.replace("_", "-"): value for name, value in fields.items()}
        text = "".join(f"{name}: {value}\n" for name, value in given.items())
        self.release.write_text(f"{text}{hashes}:\n{''.join(digests)}")

    def sign(self, keys: Keys | None = None, *options: str) -> None:
        (keys or self.keys).gpg(*options, "--output", str(self.signed), "--clearsign", str(self.release))

    def no_release(self) -> None:
        """Remove the signed lists, as in a self-made mirror."""
        self.signed.unlink()


@pytest.fixture
def repository(tmp_path: Path, keys: tuple[Keys, Keys], monkeypatch: pytest.MonkeyPatch) -> Repository:
    made = Repository(tmp_path / "debian", keys)
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", f"file:{made.place}")
    monkeypatch.setattr(archive, "KEYRINGS", (str(keys[0].exported),))
    monkeypatch.delenv("APT_CONFIG", raising=False)
    return made


@pytest.fixture(params=["as it is", "weakened"])
def settings(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's apt settings, and settings that disable every check."""
    if request.param == "as it is":
        return
    yes = tmp_path / "yes"
    yes.write_text(
        '#!/bin/sh\nfor last; do :; done\necho "[GNUPG:] GOODSIG 1 x"\necho "[GNUPG:] VALIDSIG 1"\n'
    )
    yes.chmod(0o755)
    methods = tmp_path / "methods"
    methods.mkdir()
    for method in Path("/usr/lib/apt/methods").iterdir():
        (methods / method.name).symlink_to(method)
    (methods / "gpgv").unlink()
    (methods / "gpgv").symlink_to(yes)
    scalars = [
        *(f"Acquire::Allow{what}Repositories" for what in ("Insecure", "Weak", "DowngradeToInsecure")),
        *("APT::Get::AllowUnauthenticated", "APT::Get::Force-Yes", "APT::Get::Allow-Downgrades"),
        *("Acquire::AllowUnsizedPackages", "Acquire::AllowTLS", "Acquire::AllowReleaseInfoChange"),
    ]
    lines = [f'{scope}{name} "true";' for name in scalars for scope in ("", "Binary::apt-get::")]
    lines += [f'{scope}Acquire::Max-ValidTime "0";' for scope in ("", "Binary::apt-get::")]
    lines += [
        f'APT::Hashes::{name}::{how} "no";' for name in ("SHA1", "MD5Sum") for how in ("Untrusted", "Weak")
    ]
    lines += [f'APT::Key::GPGVCommand "{yes}";', f'Apt::Key::gpgvcommand "{yes}";', f'Dir::Bin::gpg "{yes}";']
    lines += [f'Dir::Bin::apt-key "{yes}";', f'Dir::Bin::Methods "{methods}";']
    lines += ['Acquire::gpgv::Options { "--ignore-time-conflict"; };', 'Acquire::ForceHash "MD5Sum";']
    (tmp_path / "apt.conf").write_text("\n".join(lines))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))


def fetched(place: Path, said: Said) -> Path:
    """The package, fetched as a kernel is."""
    source = Archive(place / "apt", said)
    assert source.sources([SUITE]) == [Offer(PACKAGE, VERSION, SUITE)]
    (place / "deb").mkdir()
    return source.download(PACKAGE, VERSION, place / "deb")


def test_what_is_signed_is_fetched(
    repository: Repository, settings: None, tmp_path: Path, said: Said
) -> None:
    assert fetched(tmp_path, said).read_bytes() == repository.deb.read_bytes()
    assert not said.mentions("signed list")


def forged(repository: Repository) -> None:
    text = repository.signed.read_text()
    repository.signed.write_text(text.replace("Label: Debian", "Label: Other"))


def foreign_list(repository: Repository) -> None:
    """The signature is valid, but the lists are not those that were signed."""
    folder = repository.release.parent / "main/binary-amd64"
    text = (folder / "Packages").read_bytes().replace(b"Description: source", b"Description: forged")
    (folder / "Packages").write_bytes(text)
    (folder / "Packages.gz").write_bytes(gzip.compress(text))


def resigned(*options: str) -> Callable[[Repository], None]:
    return lambda repository: repository.sign(None, *options)


def weakly_listed(hashes: str) -> Callable[[Repository], None]:
    def change(repository: Repository) -> None:
        repository.write(hashes)
        repository.sign()

    return change


def another_suite(repository: Repository) -> None:
    repository.write(suite="buzz")
    repository.sign()


def with_bytes_before(repository: Repository) -> None:
    repository.signed.write_text("Suite: bookworm\n\n" + repository.signed.read_text())


ATTACKS: dict[str, Callable[[Repository], None]] = {
    "forged": forged,
    "unsigned": Repository.no_release,
    "unsigned as if signed": lambda one: one.signed.write_text(one.release.read_text()),
    "by a foreign key": lambda one: one.sign(one.foreign),
    "with a weak digest": resigned("--digest-algo", "SHA1"),
    "weakly listed, MD5": weakly_listed("MD5Sum"),
    "weakly listed, SHA1": weakly_listed("SHA1"),
    "other lists": foreign_list,
    "another suite": another_suite,
    "text before": with_bytes_before,
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_not_signed_is_refused(
    attack: str, repository: Repository, settings: None, tmp_path: Path, said: Said
) -> None:
    ATTACKS[attack](repository)
    with pytest.raises(ConformanceError) as caught:
        fetched(tmp_path, said)
    message = str(caught.value)
    assert "\n" not in message and not isinstance(caught.value, Unreachable)
    assert "signature on the archive could not be verified" in message
    assert list(tmp_path.rglob("deb/*.deb")) == []


def test_another_package_is_refused(
    repository: Repository, settings: None, tmp_path: Path, said: Said
) -> None:
    repository.deb.write_bytes(repository.deb.read_bytes()[:-1] + b"\0")
    with pytest.raises(ConformanceError, match="signature on the archive could not be verified"):
        fetched(tmp_path, said)


def test_an_entry_that_trusts_everything_is_not_read(
    repository: Repository, tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the archive's address is taken from the machine's settings."""
    repository.no_release()
    line = f"deb [trusted=yes allow-insecure=yes allow-weak=yes] file:{repository.place} {SUITE} main\n"
    (tmp_path / "sources.list").write_text(line)
    settings = f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
    (tmp_path / "apt.conf").write_text(f'{settings}Dir::State::Lists "{tmp_path}/none";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.delenv("CONFORMANCE_DEBIAN_ARCHIVE")
    with pytest.raises(ConformanceError, match="signature on the archive could not be verified"):
        fetched(tmp_path, said)


AGES = {
    "expired": {"Date": -9 * DAY, "Valid_Until": -2 * DAY},
    "not valid yet": {"Date": 9 * DAY, "Valid_Until": 99 * DAY},
}


@pytest.mark.parametrize("age", AGES)
@pytest.mark.parametrize("allowed", [False, True])
def test_an_outdated_list_is_refused_or_reported(
    age: str,
    allowed: bool,
    repository: Repository,
    tmp_path: Path,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dates = {name: formatdate(time.time() + later, usegmt=True) for name, later in AGES[age].items()}
    repository.write(**dates)
    repository.sign()
    value = "false" if allowed else "true"
    names = ("Acquire::Check-Valid-Until", "Acquire::Check-Date")
    lines = [*(f'{name} "{value}";' for name in names), 'Dir::Etc::parts "/dev/null";']
    (tmp_path / "apt.conf").write_text("\n".join(lines))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    if allowed:
        assert fetched(tmp_path, said).is_file()
        assert said.mentions(f"The signed list of {SUITE} {'expired on' if age == 'expired' else 'is dated'}")
    else:
        with pytest.raises(ConformanceError, match=f"is {age}"):
            fetched(tmp_path, said)


def test_what_reaches_the_archive_is_kept_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [
        'Acquire::http::Proxy "http://proxy.invalid:3128";',
        'Acquire::http::Proxy::mirror.invalid "DIRECT";',
        'Acquire::https::CaInfo "/etc/ca.pem";',
        'Acquire::https::mirror.invalid::SslCert "/etc/cert.pem";',
        'Acquire::ForceIPv4 "true";',
        'Dir::Etc::netrc "/etc/other.conf";',
    ]
    left = [
        'Acquire::https::Verify-Peer "false";',
        'Acquire::https::mirror.invalid::Verify-Host "false";',
        'Acquire::http::Timeout "100000";',
        'Acquire::AllowInsecureRepositories "true";',
        'APT::Update::Pre-Invoke:: "touch /tmp/never";',
        'Dir::Bin::Methods "/nowhere";',
    ]
    (tmp_path / "apt.conf").write_text("\n".join([*kept, *left]))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    apt.set_up(tmp_path / "apt")
    written = (tmp_path / "apt/apt.conf").read_text()
    assert [line for line in kept if line not in written] == []
    assert [line for line in left if line in written] == []


class Slow(http.server.BaseHTTPRequestHandler):
    """A server that sends its header or its body byte by byte."""

    body = False

    def do_GET(self) -> None:
        if self.body:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(600):
            try:
                self.wfile.write(b"x")
            except OSError:
                return
            time.sleep(0.1)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture(params=["silent", "slow header", "slow body"])
def stuck(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of an archive that accepts connections and then stalls."""
    if request.param == "silent":
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield f"http://127.0.0.1:{server.getsockname()[1]}/debian"
        return
    handler = type("Handler", (Slow,), {"body": request.param == "slow body"})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/debian"
        server.shutdown()


def test_a_stalled_archive_is_abandoned(
    stuck: str, tmp_path: Path, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", stuck)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(apt, "STALLED", 3.0)
    before = time.monotonic()
    with pytest.raises(Unreachable, match=r"the Debian archive does not answer .*timed out"):
        fetched(tmp_path, said)
    assert time.monotonic() - before < 30
    assert sum(line.startswith("Reading") for line in said) == 1
