"""After the handshake: key updates, odd records, messages that have no place there, and the ways to leave."""

import os
import struct

from tlslite.constants import HandshakeType
from wire import ALERT, CCS, DATA, FRAGMENT, HANDSHAKE, Ended, Hello, message, vector

CASES = {}
NOT_REQUESTED, REQUESTED = b"\0", b"\1"


def in_use(site):
    return site.met(Hello(canary=site.canary)).prove(site.good)


def after(name, disturb):
    """Something done on a good connection, then a request."""

    def run(site):
        talk = in_use(site)
        more = disturb(talk, site)
        return talk.ask() + (f" {more()}" if more else "")

    CASES[name] = run


def update(body):
    return message(HandshakeType.key_update, body)


def renew(talk, body):
    talk.record(HANDSHAKE, update(body))
    talk.sending = talk.sending.next()


def answers(talk):
    def told():
        if not talk.key_updates:
            return "unanswered"
        return "asked back" if any(talk.key_updates) else "answered"

    return told


def updates(count, body):
    def disturb(talk, site):
        for _ in range(count):
            renew(talk, body)
        return answers(talk)

    return disturb


def split_update(talk, site):
    data = update(REQUESTED)
    for at in range(len(data)):
        talk.record(HANDSHAKE, data[at : at + 1])
    talk.sending = talk.sending.next()
    return answers(talk)


def half_update(talk, site):
    talk.record(HANDSHAKE, update(NOT_REQUESTED)[:3])
    talk.record(DATA, site.canary)


def updates_between_requests(talk, site):
    """As a long-lived connection does: a request in pieces, the keys new for each."""
    data = talk.request(extra=b"X-Word: " + site.canary + b"\r\n")
    for at in range(0, len(data), 3):
        renew(talk, NOT_REQUESTED)
        talk.record(DATA, data[at : at + 3])
    talk.ask = talk.answer


after("update", updates(1, NOT_REQUESTED))
after("update-requested", updates(1, REQUESTED))
after("update-20-requested", updates(20, REQUESTED))
after("update-20", updates(20, NOT_REQUESTED))
after("update-2000", updates(2000, NOT_REQUESTED))
after("update-2000-requested", updates(2000, REQUESTED))
after("update-in-records-of-one-byte", split_update)
after("update-for-each-piece-of-a-request", updates_between_requests)
after("update-cut-by-data", half_update)
after("update-without-new-keys", lambda talk, site: talk.record(HANDSHAKE, update(NOT_REQUESTED)))
after("update-new-keys-without-a-word", lambda talk, site: setattr(talk, "sending", talk.sending.next()))
after("update-of-value-2", lambda talk, site: talk.record(HANDSHAKE, update(b"\2")))
after("update-of-value-255", lambda talk, site: talk.record(HANDSHAKE, update(b"\xff")))
after("update-empty", lambda talk, site: talk.record(HANDSHAKE, update(b"")))
after("update-of-two-bytes", lambda talk, site: talk.record(HANDSHAKE, update(b"\0\0")))
after("update-with-bytes-behind-in-its-record", lambda talk, site: talk.record(HANDSHAKE, update(NOT_REQUESTED) * 2))


# ---- records


def times(count, kind, payload, pad=0):
    def disturb(talk, site):
        for _ in range(count):
            talk.record(kind, payload, pad)

    return disturb


def inner(build):
    return lambda talk, site: talk.raw(talk.sending.sealed(build(site)))


def padded(size):
    """A request in a record padded to this length of plaintext."""

    def disturb(talk, site):
        data = talk.request()
        talk.record(DATA, data, size - len(data) - 1)
        talk.ask = talk.answer

    return disturb


def announced(size):
    return lambda talk, site: talk.raw(struct.pack("!BHH", DATA, 0x0303, size) + bytes(size))


def long_request(talk, site):
    """In a record as long as they may be: head, a field, and the end."""
    data = talk.request(extra=b"X-Word: " + site.canary + b"\r\n")
    fill = FRAGMENT - len(data) - len(b"X-Fill: \r\n")
    talk.record(DATA, data[:-2] + b"X-Fill: " + b"x" * fill + b"\r\n\r\n")
    talk.ask = talk.answer


def broken(talk, site):
    data = bytearray(talk.sending.sealed(talk.request() + bytes([DATA])))
    data[-1] ^= 1
    talk.raw(bytes(data))


def again(talk, site):
    data = talk.sending.sealed(bytes([DATA]))
    talk.raw(data + data)


after("records-empty-20", times(20, DATA, b""))
after("records-empty-3000", times(3000, DATA, b""))
after("records-empty-and-padded-300", times(300, DATA, b"", 2000))
after("record-padded-to-the-limit", padded(FRAGMENT + 1))
after("record-padded-beyond-the-limit", padded(FRAGMENT + 2))
after("record-full", long_request)
after("record-content-one-byte-too-long", inner(lambda site: b"x" * (FRAGMENT + 1) + bytes([DATA])))
after("record-ciphertext-beyond-the-limit", announced(FRAGMENT + 257))
after("record-of-65535", announced(65535))
after("record-of-zeros-only", inner(lambda site: bytes(50)))
after("record-of-nothing", inner(lambda site: b""))
after("record-broken", broken)
after("record-sent-twice", again)
after(
    "record-in-clear-text",
    lambda talk, site: talk.raw(struct.pack("!BHH", HANDSHAKE, 0x0303, 5) + update(NOT_REQUESTED)),
)
after("record-alert-in-clear-text", lambda talk, site: talk.raw(struct.pack("!BHH", ALERT, 0x0303, 2) + b"\1\0"))
after("record-shorter-than-a-tag", announced(7))
after("record-ccs", lambda talk, site: talk.raw(struct.pack("!BHH", CCS, 0x0303, 1) + b"\1"))
after("record-ccs-sealed", times(1, CCS, b"\1"))
after("record-heartbeat", times(1, 24, b"\1\x40\0"))
after("record-of-an-unknown-kind", times(1, 99, b"word"))
after("handshake-record-empty", times(1, HANDSHAKE, b""))
after("handshake-record-padding-only", times(1, HANDSHAKE, b"", 1000))
after("alert-empty", times(1, ALERT, b""))
after("alert-of-one-byte", times(1, ALERT, b"\1"))
after("alert-of-three-bytes", times(1, ALERT, b"\1\0\0"))
after("alert-warning-unknown", times(1, ALERT, b"\1\xc8"))
after("alert-user-canceled-once", times(1, ALERT, b"\1\x5a"))
after("alert-user-canceled-1000-times", times(1000, ALERT, b"\1\x5a"))
after("alert-fatal", times(1, ALERT, b"\2\x28"))
after("alert-close-notify-then-more", times(1, ALERT, b"\1\0"))


# ---- messages


def said(name, build):
    after(name, lambda talk, site: talk.record(HANDSHAKE, build(talk, site)))


said("after-hello", lambda talk, site: Hello().bytes())
said("after-certificate", lambda talk, site: talk.certificate(site.good.chain))
said("after-verify", lambda talk, site: talk.verify(0x0403, site.good.sign(talk.content())))
said("after-finished", lambda talk, site: talk.finished())
said(
    "after-ticket",
    lambda talk, site: message(
        HandshakeType.new_session_ticket, bytes(8) + vector(1, b"n") + vector(2, site.canary) + vector(2)
    ),
)
said("after-certificate-request", lambda talk, site: message(HandshakeType.certificate_request, bytes(3)))
said("after-hello-request", lambda talk, site: message(HandshakeType.hello_request))
said("after-end-of-early-data", lambda talk, site: message(HandshakeType.end_of_early_data))
said("after-unknown", lambda talk, site: message(99, site.canary))
said("after-message-of-16-mib", lambda talk, site: b"\x18\xff\xff\xff" + os.urandom(8000))


# ---- leaving


def half_closed(talk, site):
    talk.record(DATA, talk.request(extra=b"X-Word: " + site.canary + b"\r\n"))
    talk.record(ALERT, b"\1\0")
    talk.ask = talk.answer


def hung_up(talk, site):
    talk.record(DATA, talk.request())
    talk.socket.shutdown(1)
    talk.ask = talk.answer


after("leaves-half-after-a-request", half_closed)
after("leaves-without-a-word-after-a-request", hung_up)


def leaves(site):
    """Nothing asked, close_notify: the node says the same and closes."""
    talk = in_use(site)
    talk.record(ALERT, b"\1\0")
    try:
        while True:
            kind, payload = talk.read_record()
            if kind == HANDSHAKE:
                talk.news(payload)
    except Ended as ended:
        return str(ended)


CASES["leaves-at-once"] = leaves
