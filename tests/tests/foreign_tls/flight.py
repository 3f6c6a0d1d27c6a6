"""The client's flight: Certificate, CertificateVerify, Finished, and what may not stand among them."""

import os
import struct
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from tlslite.constants import ExtensionType, HandshakeType
from wire import ALERT, CCS, DATA, ECDSA_P256, HANDSHAKE, Ended, Hello, message, numbers, vector

CASES = {}


def case(name):
    def add(run):
        CASES[name] = run
        return run

    return add


def met(site):
    return site.met(Hello(canary=site.canary))


def with_certificate(name, build):
    """Another Certificate message; whatever follows is right for it."""

    def run(site):
        talk = met(site)
        talk.say(build(talk, site))
        talk.say(talk.verify(ECDSA_P256, site.good.sign(talk.content())))
        talk.finish()
        return talk.ask()

    CASES[name] = run


def certificate(body):
    return lambda talk, site: message(HandshakeType.certificate, body(site.good.chain[0]))


def chain(build):
    return lambda talk, site: talk.certificate(build(site.good.chain, site))


with_certificate("certificate-body-empty", certificate(lambda der: b""))
with_certificate("certificate-one-byte", certificate(lambda der: b"\0"))
with_certificate("certificate-list-cut", certificate(lambda der: b"\0" + vector(3, vector(3, der) + b"\0\0")[:-9]))
with_certificate(
    "certificate-list-longer-than-message", certificate(lambda der: b"\0\xff\xff\xff" + vector(3, der) + b"\0\0")
)
with_certificate(
    "certificate-entry-longer-than-list", certificate(lambda der: b"\0" + vector(3, b"\xff\xff\xff" + der + b"\0\0"))
)
with_certificate("certificate-without-extensions-field", certificate(lambda der: b"\0" + vector(3, vector(3, der))))
with_certificate(
    "certificate-bytes-after-the-list", certificate(lambda der: b"\0" + vector(3, vector(3, der) + b"\0\0") + b"x")
)
with_certificate(
    "certificate-context-not-empty", lambda talk, site: talk.certificate(site.good.chain, context=b"context")
)
with_certificate(
    "certificate-extension-not-asked-for",
    lambda talk, site: talk.certificate(site.good.chain, extensions=numbers(ExtensionType.server_name) + vector(2)),
)
with_certificate(
    "certificate-extension-cut", lambda talk, site: talk.certificate(site.good.chain, extensions=b"\0\5\0\x40x")
)
with_certificate("certificate-entry-empty", chain(lambda chain, site: [b""]))
with_certificate("certificate-garbage", chain(lambda chain, site: [site.canary * 10]))
with_certificate("certificate-garbage-random", chain(lambda chain, site: [os.urandom(700)]))
with_certificate("certificate-der-cut", chain(lambda chain, site: [chain[0][:-1]]))
with_certificate("certificate-der-with-bytes-after", chain(lambda chain, site: [chain[0] + site.canary]))
with_certificate(
    "certificate-der-one-bit-wrong", chain(lambda chain, site: [chain[0][:-1] + bytes([chain[0][-1] ^ 1])])
)
with_certificate(
    "certificate-der-length-of-4-gib", chain(lambda chain, site: [b"\x30\x84\xff\xff\xff\xff" + chain[0][4:]])
)
with_certificate("certificate-der-nested-10000-deep", chain(lambda chain, site: [b"\x30\x80" * 10000]))
with_certificate("certificate-order-turned", chain(lambda chain, site: [site.member("city").chain[0], chain[0]]))
with_certificate("certificate-with-4000-more", chain(lambda chain, site: chain + [b"\x30\0"] * 4000))
with_certificate("certificate-with-60-copies", chain(lambda chain, site: chain * 60))
with_certificate("certificate-of-64-kib", chain(lambda chain, site: chain + [b"\0" * 65536]))
with_certificate("certificate-of-4-mib", chain(lambda chain, site: [b"\0" * 2**22]))


@case("certificate-list-empty")
def nobody(site):
    talk = met(site)
    talk.say(talk.certificate([]))
    talk.finish()
    return talk.ask()


@case("certificate-list-empty-then-verify")
def nobody_signs(site):
    talk = met(site)
    talk.say(talk.certificate([]))
    talk.say(talk.verify(ECDSA_P256, site.good.sign(talk.content())))
    talk.finish()
    return talk.ask()


@case("certificate-missing")
def no_certificate(site):
    talk = met(site)
    talk.finish()
    return talk.ask()


@case("certificate-twice")
def certificate_twice(site):
    talk = met(site)
    talk.say(talk.certificate(site.good.chain))
    talk.say(talk.certificate(site.good.chain))
    return talk.read_record()[0]


def as_member(name):
    def run(site):
        return met(site).prove(site.member(name)).ask()

    CASES["member-" + name] = run


for who in ("rsa", "expired", "early", "stranger", "unlisted", "city"):
    as_member(who)


# ---- CertificateVerify


def with_verify(name, build, who="alpha"):
    def run(site):
        member = site.member(who)
        talk = met(site)
        before = talk.transcript
        talk.say(talk.certificate(member.chain))
        talk.say(build(talk, member, site, before))
        talk.finish()
        return talk.ask()

    CASES[name] = run


def scheme(number):
    return lambda talk, member, site, before: talk.verify(number, member.sign(talk.content(), number))


def body(build):
    return lambda talk, member, site, before: message(
        HandshakeType.certificate_verify, build(member.sign(talk.content()))
    )


def flipped(signature):
    return signature[:-1] + bytes([signature[-1] ^ 1])


with_verify("verify-one-bit-wrong", body(lambda s: numbers(ECDSA_P256) + vector(2, flipped(s))))
with_verify("verify-garbage", body(lambda s: numbers(ECDSA_P256) + vector(2, os.urandom(len(s)))))
with_verify("verify-empty-signature", body(lambda s: numbers(ECDSA_P256) + vector(2)))
with_verify("verify-huge-signature", body(lambda s: numbers(ECDSA_P256) + vector(2, s + bytes(60000))))
with_verify("verify-signature-with-bytes-after", body(lambda s: numbers(ECDSA_P256) + vector(2, s + b"x")))
with_verify("verify-zero-signature", body(lambda s: numbers(ECDSA_P256) + vector(2, bytes.fromhex("3006020100020100"))))
with_verify("verify-empty-message", body(lambda s: b""))
with_verify("verify-cut", body(lambda s: (numbers(ECDSA_P256) + vector(2, s))[:-4]))
with_verify("verify-with-bytes-after", body(lambda s: numbers(ECDSA_P256) + vector(2, s) + b"x"))
with_verify(
    "verify-earlier-transcript",
    lambda talk, member, site, before: talk.verify(ECDSA_P256, member.sign(talk.content(transcript=before))),
)
with_verify(
    "verify-as-a-server",
    lambda talk, member, site, before: talk.verify(ECDSA_P256, member.sign(talk.content(side=b"server"))),
)
with_verify(
    "verify-without-context", lambda talk, member, site, before: talk.verify(ECDSA_P256, member.sign(talk.transcript))
)
with_verify(
    "verify-by-another-key",
    lambda talk, member, site, before: talk.verify(ECDSA_P256, site.member("beta").sign(talk.content())),
)
with_verify(
    "verify-sha384-but-says-sha256",
    lambda talk, member, site, before: talk.verify(
        ECDSA_P256, member.key.sign(talk.content(), ec.ECDSA(hashes.SHA384()))
    ),
)
with_verify("verify-sha1-ecdsa", scheme(0x0203))
with_verify("verify-ed448", scheme(0x0808))
with_verify("verify-unknown-scheme", scheme(0x6A6A))
with_verify("verify-scheme-of-another-curve", scheme(0x0503))
with_verify("verify-scheme-of-another-kind-of-key", scheme(0x0804))
with_verify("verify-rsa-pkcs1", scheme(0x0401), who="rsa")
with_verify("verify-rsa-pkcs1-sha1", scheme(0x0201), who="rsa")
with_verify(
    "verify-rsa-but-says-ecdsa",
    lambda talk, member, site, before: talk.verify(ECDSA_P256, member.sign(talk.content(), 0x0804)),
    who="rsa",
)


@case("verify-missing")
def no_verify(site):
    talk = met(site)
    talk.say(talk.certificate(site.good.chain))
    talk.finish()
    return talk.ask()


@case("verify-before-certificate")
def turned(site):
    talk = met(site)
    talk.say(talk.verify(ECDSA_P256, site.good.sign(talk.content())))
    talk.say(talk.certificate(site.good.chain))
    talk.finish()
    return talk.ask()


@case("verify-twice")
def verify_twice(site):
    talk = signed(site)
    talk.say(talk.verify(ECDSA_P256, site.good.sign(talk.content())))
    talk.finish()
    return talk.ask()


# ---- Finished


def signed(site):
    talk = met(site)
    talk.say(talk.certificate(site.good.chain))
    talk.say(talk.verify(ECDSA_P256, site.good.sign(talk.content())))
    return talk


def with_finished(name, build):
    def run(site):
        talk = signed(site)
        talk.say(build(talk.finished()))
        talk.switch()
        return talk.ask()

    CASES[name] = run


def mac(build):
    return lambda good: message(HandshakeType.finished, build(good[4:]))


with_finished("finished-one-bit-wrong", mac(flipped))
with_finished("finished-zero", mac(lambda good: bytes(32)))
with_finished("finished-empty", mac(lambda good: b""))
with_finished("finished-short", mac(lambda good: good[:12]))
with_finished("finished-one-byte-short", mac(lambda good: good[:-1]))
with_finished("finished-one-byte-long", mac(lambda good: good + b"\0"))
with_finished("finished-of-60-kib", mac(lambda good: good + bytes(60000)))
with_finished("finished-with-bytes-behind-in-its-record", lambda good: good + b"\0")
with_finished("finished-twice-in-one-record", lambda good: good + good)
with_finished("finished-and-key-update-in-one-record", lambda good: good + message(HandshakeType.key_update, b"\0"))


@case("flight-in-one-record")
def one_record(site):
    talk = met(site)
    certificate = talk.certificate(site.good.chain)
    talk.transcript += certificate
    verify = talk.verify(ECDSA_P256, site.good.sign(talk.content()))
    talk.transcript += verify
    finished = talk.finished()
    talk.transcript += finished
    talk.record(HANDSHAKE, certificate + verify + finished)
    talk.switch()
    return talk.ask()


# ---- what may not stand between


def between(name, disturb):
    """Something after half of the Certificate."""

    def run(site):
        talk = met(site)
        data = talk.certificate(site.good.chain)
        talk.transcript += data
        talk.record(HANDSHAKE, data[:100])
        disturb(talk, site)
        talk.record(HANDSHAKE, data[100:])
        talk.say(talk.verify(ECDSA_P256, site.good.sign(talk.content())))
        talk.finish()
        return talk.ask()

    CASES[name] = run


def clear(kind, payload):
    return lambda talk, site: talk.raw(struct.pack("!BHH", kind, 0x0303, len(payload)) + payload)


between("certificate-in-two-records", lambda talk, site: None)
between("certificate-split-by-data", lambda talk, site: talk.record(DATA, site.canary))
between("certificate-split-by-an-empty-handshake-record", lambda talk, site: talk.record(HANDSHAKE, b""))
between("certificate-split-by-an-alert", lambda talk, site: talk.record(ALERT, b"\1\x5a"))
between("certificate-split-by-clear-text", clear(HANDSHAKE, b"\x0b\0\0\0"))
between("certificate-split-by-a-broken-record", clear(DATA, bytes(40)))
between("certificate-split-by-a-record-without-room-for-a-tag", clear(DATA, b"xx"))
between("certificate-split-by-padding-only", lambda talk, site: talk.raw(talk.sending.sealed(bytes(100))))


def before(name, disturb):
    """Something before the client's flight, which is good."""

    def run(site):
        talk = met(site)
        disturb(talk, site)
        return talk.prove(site.good).ask()

    CASES[name] = run


before("ccs-where-it-belongs", clear(CCS, b"\1"))
before("ccs-twice", lambda talk, site: [clear(CCS, b"\1")(talk, site) for _ in range(2)])
before("ccs-of-another-value", clear(CCS, b"\2"))
before("ccs-of-two-bytes", clear(CCS, b"\1\1"))
before("ccs-empty", clear(CCS, b""))
before("ccs-sealed", lambda talk, site: talk.record(CCS, b"\1"))
before("data-before-finished", lambda talk, site: talk.record(DATA, b"GET /" + site.canary))
before(
    "key-update-before-finished", lambda talk, site: talk.record(HANDSHAKE, message(HandshakeType.key_update, b"\0"))
)
before("end-of-early-data-without-early-data", lambda talk, site: talk.say(message(HandshakeType.end_of_early_data)))
before("hello-again-sealed", lambda talk, site: talk.say(Hello().bytes()))
before("unknown-message-before-finished", lambda talk, site: talk.say(message(99, site.canary)))
before("unknown-record-before-finished", lambda talk, site: talk.record(99, site.canary))


@case("ccs-100-times")
def many_ccs(site):
    talk = met(site)
    for _ in range(100):
        clear(CCS, b"\1")(talk, site)
    return talk.prove(site.good).ask()


@case("ccs-after-finished")
def late_ccs(site):
    talk = met(site).prove(site.good)
    clear(CCS, b"\1")(talk, site)
    return talk.ask()


# ---- silence


@case("stops-midway")
def stops(site):
    """At four places at once; the node ends each within its deadline, though one still trickles."""
    began = time.monotonic()
    mute, half, proven, slow = site.talk(), site.talk(), met(site), site.talk()
    data = Hello().bytes()
    half.raw(struct.pack("!BHH", HANDSHAKE, 0x0301, len(data)) + data[:60])
    proven.say(proven.certificate(site.good.chain))
    outcomes = []
    for byte in struct.pack("!BHH", HANDSHAKE, 0x0301, len(data)) + data:
        slow.raw(bytes([byte]))
        slow.socket.settimeout(0.25)
        try:
            slow.exactly(1)
        except Ended as ended:
            if str(ended) == "closed":
                break
    outcomes.append("closed")
    for talk in (mute, half, proven):
        try:
            talk.exactly(1)
            outcomes.append("an answer")
        except Ended as ended:
            outcomes.append(str(ended))
    took = time.monotonic() - began
    return " ".join(outcomes) if took < 15 else f"took {took}"


@case("half-closes-after-hello")
def half_closed(site):
    talk = site.talk()
    talk.greet(Hello())
    talk.socket.shutdown(1)
    talk.meet()
    return talk.read_record()[0]
