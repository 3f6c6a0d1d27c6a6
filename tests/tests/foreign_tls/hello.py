"""ClientHello, and the second one after HelloRetryRequest."""

import os
import struct

from tlslite.constants import ExtensionType, HandshakeType
from wire import ALERT, CCS, DATA, HANDSHAKE, P256, P384, X25519, Hello, Talk, message, numbers, vector

CASES = {}
UNKNOWN = 0x6A6A


def case(name):
    def add(run):
        CASES[name] = run
        return run

    return add


def bent(name, bend, port="exchange"):
    """A hello changed by `bend`, answered by an alert or by a good connection."""

    def run(site):
        one = Hello(canary=site.canary)
        bend(one)
        talk = Talk(getattr(site, port))
        talk.greet(one)
        return talk.meet().prove(site.good).ask()

    CASES[name] = run


def versions(*values):
    return lambda one: one.put(ExtensionType.supported_versions, vector(1, numbers(*values)))


def old(version, *more_suites):
    def bend(one):
        one.version, one.suites = version, [0xC02B, 0xC02F, 0xC009, 0x002F, *more_suites]
        one.drop(ExtensionType.supported_versions, ExtensionType.key_share, ExtensionType.psk_key_exchange_modes)

    return bend


def shares(*entries):
    return lambda one: one.put(ExtensionType.key_share, vector(2, *entries))


def groups(*values):
    return lambda one: one.put(ExtensionType.supported_groups, vector(2, numbers(*values)))


def only(group, public):
    return lambda one: (groups(group)(one), shares(Hello.share(group, public))(one))


def without(*kinds):
    return lambda one: one.drop(*kinds)


def compressions(one):
    one.compressions = b"\1\0"


def suites(*values):
    def bend(one):
        one.suites = list(values)

    return bend


bent("good", lambda one: None)
bent("hello-for-1.2-only", old(0x0303))
bent("hello-for-1.1-only", old(0x0302))
bent("hello-for-1.0-only", old(0x0301))
bent("hello-for-ssl-3.0-only", old(0x0300))
bent("hello-falling-back-with-scsv", old(0x0303, 0x5600))
bent("hello-versions-1.2-and-1.1", versions(0x0303, 0x0302))
bent("hello-versions-unknown", versions(0x7F1C, 0x0A0A))
bent("hello-versions-with-unknown-and-1.3", versions(0x0A0A, 0x0304))
bent("hello-versions-empty", lambda one: one.put(ExtensionType.supported_versions, vector(1)))
bent("hello-with-compression", compressions)
bent("hello-with-unknown-suites-only", suites(0x13FF, 0x0A0A))
bent("hello-with-1.2-suites-only", suites(0xC02B, 0xC02F))
bent("hello-without-groups", without(ExtensionType.supported_groups))
bent("hello-without-shares", without(ExtensionType.key_share))
bent("hello-without-signature-algorithms", without(ExtensionType.signature_algorithms))
bent("hello-with-no-protocol-in-common", lambda one: one.put(ExtensionType.alpn, vector(2, vector(1, b"spdy/9"))))
bent("hello-unknown-groups-only", lambda one: (groups(UNKNOWN)(one), shares(Hello.share(UNKNOWN, b"x" * 32))(one)))
bent("hello-ffdhe-groups-only", lambda one: (groups(0x0100)(one), shares(Hello.share(0x0100, b"x" * 256))(one)))
bent(
    "hello-unknown-share-beside-a-good-one",
    lambda one: shares(Hello.share(UNKNOWN, b"?"), Hello.share(X25519, one.public(X25519)))(one),
)
bent("hello-share-twice", lambda one: shares(*2 * [Hello.share(X25519, one.public(X25519))])(one))
bent("hello-share-x25519-short", shares(Hello.share(X25519, b"x" * 31)))
bent("hello-share-x25519-long", shares(Hello.share(X25519, b"x" * 33)))
bent("hello-share-x25519-zero", shares(Hello.share(X25519, bytes(32))))
bent("hello-share-x25519-empty", shares(Hello.share(X25519, b"")))
bent("hello-share-p256-off-the-curve", lambda one: only(P256, b"\4" + b"\7" * 64)(one))
bent("hello-share-p256-at-infinity", lambda one: only(P256, b"\0")(one))
bent("hello-share-p384-of-the-wrong-length", lambda one: only(P384, b"\4" + b"\7" * 64)(one))
bent("hello-shares-overrun", lambda one: one.put(ExtensionType.key_share, b"\xff\xff" + b"x" * 8))
bent("hello-extension-twice", lambda one: one.extensions.append((ExtensionType.alpn, vector(2, vector(1, b"h2")))))
bent("hello-1000-unknown-extensions", lambda one: one.extensions.extend((0x8000 + n, b"x" * 20) for n in range(1000)))
bent("hello-session-too-long", lambda one: setattr(one, "session", b"s" * 33))
bent("hello-many-groups", groups(*range(0x4000, 0x4400), X25519))
bent("hello-many-versions", versions(*range(0x7F00, 0x7F00 + 100), 0x0304))
bent("hello-early-data-without-a-ticket", lambda one: one.put(ExtensionType.early_data, b""))


def sent(name, data):
    """These bytes instead of a hello."""

    def run(site):
        talk = site.talk()
        talk.raw(data(site))
        return talk.read_record()[0]

    CASES[name] = run


def record(kind, payload, size=None):
    return struct.pack("!BHH", kind, 0x0301, len(payload) if size is None else size) + payload


def cut(site):
    body = Hello(canary=site.canary).body()
    return record(HANDSHAKE, message(HandshakeType.client_hello, body[:-20]))


sent("hello-cut-inside", cut)
sent(
    "hello-with-bytes-after-it",
    lambda site: record(HANDSHAKE, message(HandshakeType.client_hello, Hello(canary=site.canary).body() + b"more")),
)
sent("hello-empty", lambda site: record(HANDSHAKE, message(HandshakeType.client_hello)))
sent("hello-random-bytes", lambda site: record(HANDSHAKE, message(HandshakeType.client_hello, os.urandom(300))))
sent("hello-announces-16-mib", lambda site: record(HANDSHAKE, b"\1\xff\xff\xff" + site.canary))
sent("first-a-finished", lambda site: record(HANDSHAKE, message(HandshakeType.finished, bytes(32))))
sent("first-a-certificate", lambda site: record(HANDSHAKE, message(HandshakeType.certificate, bytes(4))))
sent("first-application-data", lambda site: record(DATA, site.canary))
sent("first-ccs", lambda site: record(CCS, b"\1") + record(HANDSHAKE, Hello().bytes()))
sent("first-a-fatal-alert", lambda site: record(ALERT, b"\2\x28"))
sent("first-an-empty-alert", lambda site: record(ALERT, b""))
sent("first-an-unknown-record", lambda site: record(99, site.canary))
sent("first-plain-http", lambda site: b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + site.canary + b"\r\n\r\n")
sent(
    "first-an-sslv2-hello",
    lambda site: b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80" * 7 + bytes(16),
)
sent("first-an-empty-handshake-record", lambda site: record(HANDSHAKE, b"") + record(HANDSHAKE, Hello().bytes()))
sent("record-announces-65535", lambda site: record(HANDSHAKE, b"x" * 2000, 65535))
sent("empty-handshake-records-5000", lambda site: record(HANDSHAKE, b"") * 5000)
sent("empty-data-records-5000", lambda site: record(DATA, b"") * 5000)


@case("hello-in-records-of-one-byte")
def fragments(site):
    one = Hello(canary=site.canary)
    talk = site.talk()
    talk.hello = one
    talk.transcript = one.bytes()
    talk.raw(b"".join(record(HANDSHAKE, bytes([byte])) for byte in one.bytes()))
    return talk.meet().prove(site.good).ask()


@case("record-hello-one-byte-too-long")
def overlong(site):
    one = Hello(canary=site.canary)
    one.put(ExtensionType.client_hello_padding, b"")
    one.put(ExtensionType.client_hello_padding, bytes(2**14 + 1 - len(one.bytes())))
    talk = site.talk()
    talk.hello = one
    talk.transcript = one.bytes()
    talk.raw(record(HANDSHAKE, one.bytes()))
    return talk.meet().prove(site.good).ask()


@case("hello-interleaved-with-data")
def interleaved(site):
    data = Hello().bytes()
    talk = site.talk()
    talk.raw(record(HANDSHAKE, data[:50]) + record(DATA, site.canary) + record(HANDSHAKE, data[50:]))
    return talk.read_record()[0]


@case("hello-twice")
def twice(site):
    one = Hello()
    talk = site.talk()
    talk.greet(one)
    talk.raw(record(HANDSHAKE, Hello().bytes()))
    talk.meet()
    return talk.read_record()[0]


# ---- HelloRetryRequest


def retried(name, bend, first=lambda one: None, between=lambda talk: None):
    """The first hello has no share; the node asks for x25519; the second is changed by `bend`."""

    def run(site):
        one = Hello(canary=site.canary)
        share = one.key_shares((X25519,))
        one.put(ExtensionType.key_share, vector(2))
        first(one)
        talk = site.talk()
        talk.greet(one)
        _, again = talk.server_hello()
        assert again, "the node should have asked for a share"
        between(talk)
        one.put(ExtensionType.key_share, share)
        bend(one)
        talk.greet(one)
        return talk.meet().prove(site.good).ask()

    CASES[name] = run


retried("retry-good", lambda one: None)
retried("retry-with-ccs-between", lambda one: None, between=lambda talk: talk.raw(record(CCS, b"\1")))
retried("retry-without-a-share", lambda one: one.put(ExtensionType.key_share, vector(2)))
retried(
    "retry-with-another-group",
    lambda one: one.put(ExtensionType.key_share, vector(2, Hello.share(P384, b"\4" + b"\7" * 96))),
)
retried(
    "retry-with-two-shares",
    lambda one: one.put(
        ExtensionType.key_share, vector(2, Hello.share(X25519, one.public(X25519)), Hello.share(UNKNOWN, b"?"))
    ),
)
retried("retry-with-early-data", lambda one: one.put(ExtensionType.early_data, b""))
retried("retry-with-other-suites", lambda one: suites(0x1302)(one))
retried("retry-with-another-version", lambda one: one.drop(ExtensionType.supported_versions))
retried(
    "retry-then-a-finished",
    lambda one: None,
    between=lambda talk: talk.raw(record(HANDSHAKE, message(HandshakeType.finished, bytes(32)))),
)


@case("retry-p256-instead-of-an-unknown-group")
def other_group(site):
    one = Hello(shares=(P256,), groups=(UNKNOWN, P256), canary=site.canary)
    share = one.key_shares((P256,))
    one.put(ExtensionType.key_share, vector(2, Hello.share(UNKNOWN, b"?")))
    talk = site.talk()
    talk.greet(one)
    _, again = talk.server_hello()
    assert again
    one.put(ExtensionType.key_share, share)
    talk.greet(one)
    return talk.meet().prove(site.good).ask()


@case("p256-and-p384")
def curves(site):
    answers = []
    for group in (P256, P384):
        talk = site.met(Hello(shares=(group,), groups=(group,), canary=site.canary))
        answers.append(talk.prove(site.good).ask())
    return " ".join(answers)
