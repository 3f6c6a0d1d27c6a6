"""The listener for TLS 1.2, by hand up to the point where keys begin, and by OpenSSL."""

import os
import subprocess

from tlslite.constants import ExtensionType, HandshakeType
from wire import CCS, ECDSA_P256, HANDSHAKE, X25519, Hello, Talk, message, numbers, vector

CASES = {}
MODERN = (0xC02B, 0xC02F)
EXTENDED_MASTER_SECRET, TICKET, RENEGOTIATION = 23, 35, 0xFF01


def case(name):
    def add(run):
        CASES[name] = run
        return run

    return add


def hello(site, version=0x0303, suites=MODERN):
    one = Hello(canary=site.canary)
    one.version, one.suites = version, list(suites)
    one.drop(ExtensionType.supported_versions, ExtensionType.key_share, ExtensionType.psk_key_exchange_modes)
    one.put(EXTENDED_MASTER_SECRET, b"").put(TICKET, b"").put(RENEGOTIATION, b"\0")
    return one


def talk(site, one):
    talk = Talk(site.legacy)
    talk.greet(one)
    return talk


def greeted(name, bend):
    """The version that is chosen, and whether a possible downgrade is marked in the node's random."""

    def run(site):
        chosen, _ = talk(site, bend(site)).server_hello()
        mark = " marked" if bytes(chosen.random).endswith(b"DOWNGRD\1") else ""
        ticket = " ticket" if chosen.getExtension(TICKET) else ""
        return f"1.{chosen.server_version[1] - 1}{mark}{ticket}"

    CASES[name] = run


greeted("legacy-hello-1.2", lambda site: hello(site))
greeted("legacy-hello-falling-back-with-scsv", lambda site: hello(site, suites=MODERN + (0x5600,)))
greeted("legacy-hello-1.1", lambda site: hello(site, version=0x0302))
greeted("legacy-hello-1.0", lambda site: hello(site, version=0x0301))
greeted("legacy-hello-without-extended-master-secret", lambda site: hello(site).drop(EXTENDED_MASTER_SECRET))
greeted("legacy-hello-cbc-suites-only", lambda site: hello(site, suites=(0xC009, 0xC013, 0xC024)))
greeted("legacy-hello-rsa-key-exchange-only", lambda site: hello(site, suites=(0x009C, 0x009D, 0x002F)))
greeted("legacy-hello-ffdhe-only", lambda site: hello(site, suites=(0x009E, 0x009F)))
greeted("legacy-hello-null-and-anonymous", lambda site: hello(site, suites=(0x0000, 0x0001, 0xC015, 0xC018)))
greeted("legacy-hello-with-compression-only", lambda site: setattr(one := hello(site), "compressions", b"\1") or one)
greeted(
    "legacy-hello-unknown-groups-only",
    lambda site: hello(site).put(ExtensionType.supported_groups, vector(2, numbers(0x6A6A))),
)
greeted("legacy-hello-renegotiation-info-not-empty", lambda site: hello(site).put(RENEGOTIATION, vector(1, b"x" * 12)))


def invited(site):
    """Up to ServerHelloDone."""
    found = talk(site, hello(site))
    found.server_hello()
    while True:
        data = found.read_message()
        found.transcript += data
        if data[0] == HandshakeType.server_hello_done:
            return found


def flight(name, build):
    """The client's flight in clear text; the answer is an alert."""

    def run(site):
        found = invited(site)
        for one in build(found, site):
            found.transcript += one if one[0] != CCS else b""
            found.record(CCS if one[0] == CCS else HANDSHAKE, one[1:] if one[0] == CCS else one)
        return found.read_record()[0]

    CASES[name] = run


def chain(*ders):
    return message(HandshakeType.certificate, vector(3, *(vector(3, der) for der in ders)))


def exchange(found, public=None):
    public = found.hello.public(X25519) if public is None else public
    return message(HandshakeType.client_key_exchange, vector(1, public))


def verify(found, site, scheme=ECDSA_P256, bend=lambda s: s):
    """Over what was said so far, so it is made when its turn comes."""
    return found.verify(scheme, bend(site.good.sign(found.transcript)))


# CCS as a message: its kind, then its byte.
CHANGE = bytes([CCS, 1])


def flipped(signature):
    return signature[:-1] + bytes([signature[-1] ^ 1])


def usual(bend=lambda s: s, scheme=ECDSA_P256):
    def build(found, site):
        yield chain(*site.good.chain)
        yield exchange(found)
        yield verify(found, site, scheme, bend)
        yield CHANGE

    return build


def no_verify(found, site):
    yield chain(*site.good.chain)
    yield exchange(found)
    yield CHANGE


def early_change(found, site):
    yield chain(*site.good.chain)
    yield CHANGE


def turned(found, site):
    yield exchange(found)
    yield chain(*site.good.chain)


def shared(public):
    def build(found, site):
        yield chain(*site.good.chain)
        yield exchange(found, public)
        yield verify(found, site)
        yield CHANGE

    return build


flight("legacy-certificate-list-empty", lambda found, site: [chain()])
flight("legacy-certificate-garbage", lambda found, site: [chain(site.canary * 9), exchange(found)])
flight(
    "legacy-certificate-list-cut", lambda found, site: [message(11, b"\xff\xff\xff" + vector(3, site.good.chain[0]))]
)
flight("legacy-certificate-body-empty", lambda found, site: [message(11)])
flight("legacy-certificate-of-a-stranger", lambda found, site: [chain(*site.member("stranger").chain), exchange(found)])
flight("legacy-exchange-before-certificate", turned)
flight("legacy-exchange-short", shared(b"x" * 31))
flight("legacy-exchange-empty", shared(b""))
flight("legacy-exchange-zero", shared(bytes(32)))
flight("legacy-verify-one-bit-wrong", usual(flipped))
flight("legacy-verify-garbage", usual(lambda s: os.urandom(len(s))))
flight("legacy-verify-sha1", usual(scheme=0x0203))
flight("legacy-verify-unknown-scheme", usual(scheme=0x6A6A))
flight("legacy-verify-missing", no_verify)
flight("legacy-ccs-early", early_change)
flight("legacy-hello-twice", lambda found, site: [Hello().bytes()])


# ---- OpenSSL


def openssl(site, who, said, *options):
    name = os.path.join(site.directory, who)
    command = [
        "openssl",
        "s_client",
        "-connect",
        f"127.0.0.1:{site.legacy}",
        "-CAfile",
        os.path.join(site.directory, "ca.crt"),
        "-cert",
        name + ".crt",
        "-key",
        name + ".key",
        *options,
    ]
    done = subprocess.run(command, input=said, capture_output=True, timeout=20, check=False)
    return (done.stdout + done.stderr).decode(errors="replace")


REQUEST = b"GET /v1/datasets HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def asked(name, who, *options):
    def run(site):
        told = openssl(site, who, REQUEST, "-ign_eof", *options)
        status = next((line.split()[1] for line in told.splitlines() if line.startswith("HTTP/1.1")), "none")
        version = next((line.split()[1].strip(",") for line in told.splitlines() if line.startswith("New, ")), "none")
        return f"{version} {status}"

    CASES[name] = run


asked("legacy-openssl-1.2", "alpha", "-tls1_2")
asked("legacy-openssl-1.2-with-an-rsa-key", "rsa", "-tls1_2")
asked("legacy-openssl-1.3", "alpha", "-tls1_3")
asked("legacy-openssl-1.2-unlisted-member", "beta", "-tls1_2")
asked("legacy-openssl-1.2-without-tickets", "alpha", "-tls1_2", "-no_ticket")


@case("legacy-openssl-renegotiates")
def renegotiates(site):
    told = openssl(site, "alpha", b"R\n", "-tls1_2")
    return "refused" if "RENEGOTIATING" in told and "no renegotiation" in told else told[-300:]


@case("legacy-openssl-comes-back")
def comes_back(site):
    """Six connections that would resume: none does."""
    told = openssl(site, "alpha", b"", "-tls1_2", "-reconnect")
    return f"new {told.count('New, TLS')} reused {told.count('Reused, ')}"
