"""TLS 1.3 from the client's side, one message and one record at a time, so that any of them can be wrong.

Key exchange, key schedule, names and the parsing of what the node says are tlslite-ng's; sealing and signing are
`cryptography`'s. Only TLS_AES_128_GCM_SHA256: what is tried does not depend on the suite.
"""

import os
import socket
import struct

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.exceptions import InvalidTag
from tlslite.constants import AlertDescription, ExtensionType, GroupName, HandshakeType
from tlslite.keyexchange import ECDHKeyExchange
from tlslite.messages import EncryptedExtensions, ServerHello
from tlslite.utils.codec import Parser
from tlslite.utils.cryptomath import HKDF_expand_label, secureHash, secureHMAC

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
FRAGMENT = 2**14
SUITE = 0x1301
X25519, P256, P384 = GroupName.x25519, GroupName.secp256r1, GroupName.secp384r1
ECDSA_P256, RSA_PSS = 0x0403, 0x0804
RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
# Longer than the node's deadline for handshakes.
PATIENCE = 20


class Ended(Exception):
    """The node ended the conversation."""


def vector(size, *parts):
    body = b"".join(parts)
    return len(body).to_bytes(size, "big") + body


def message(kind, body=b""):
    return bytes([kind]) + vector(3, body)


def numbers(*values):
    return b"".join(struct.pack("!H", value) for value in values)


def digest(data):
    return bytes(secureHash(bytearray(data), "sha256"))


def hmac(key, data):
    return bytes(secureHMAC(bytearray(key), bytearray(data), "sha256"))


def expand(secret, label, context=b"", size=32):
    return bytes(HKDF_expand_label(bytearray(secret), bytearray(label), bytearray(context), size, "sha256"))


class Keys:
    """One direction's keys."""

    def __init__(self, secret):
        self.secret = secret
        self.seal = AESGCM(expand(secret, b"key", size=16))
        self.iv = int.from_bytes(expand(secret, b"iv", size=12), "big")
        self.count = 0

    def next(self):
        return Keys(expand(self.secret, b"traffic upd"))

    def nonce(self):
        self.count += 1
        return (self.iv ^ (self.count - 1)).to_bytes(12, "big")

    def sealed(self, inner):
        """A record of this plaintext, whose last byte other than zero should be a content type."""
        header = struct.pack("!BHH", DATA, 0x0303, len(inner) + 16)
        return header + self.seal.encrypt(self.nonce(), bytes(inner), header)

    def opened(self, header, body):
        return self.seal.decrypt(self.nonce(), body, header)


class Member:
    """A certificate chain and its key."""

    def __init__(self, directory, name):
        with open(os.path.join(directory, name + ".crt"), "rb") as file:
            found = x509.load_pem_x509_certificates(file.read())
        self.chain = [one.public_bytes(serialization.Encoding.DER) for one in found]
        with open(os.path.join(directory, name + ".key"), "rb") as file:
            self.key = serialization.load_pem_private_key(file.read(), None)

    def scheme(self):
        return RSA_PSS if isinstance(self.key, rsa.RSAPrivateKey) else ECDSA_P256

    def sign(self, content, scheme=None):
        scheme = scheme or self.scheme()
        if isinstance(self.key, rsa.RSAPrivateKey):
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
            filled = pss if scheme == RSA_PSS else padding.PKCS1v15()
            return self.key.sign(content, filled, hashes.SHA256())
        return self.key.sign(content, ec.ECDSA(hashes.SHA256()))


class Hello:
    """A ClientHello that can be bent before it is sent. Extensions are pairs, in the order they are written."""

    def __init__(self, shares=(X25519,), groups=(X25519, P256, P384), canary=b""):
        self.version, self.random, self.session = 0x0303, os.urandom(32), canary.ljust(32, b".")[:32]
        self.suites, self.compressions = [SUITE], b"\0"
        self.secrets = {group: self.secret(group) for group in shares}
        self.extensions = [
            (ExtensionType.server_name, vector(2, b"\0" + vector(2, b"localhost"))),
            (ExtensionType.supported_groups, vector(2, numbers(*groups))),
            (ExtensionType.signature_algorithms, vector(2, numbers(0x0403, 0x0503, 0x0807, 0x0804, 0x0805))),
            (ExtensionType.alpn, vector(2, vector(1, b"http/1.1"))),
            (ExtensionType.supported_versions, vector(1, numbers(0x0304))),
            (ExtensionType.psk_key_exchange_modes, vector(1, b"\1")),
            (ExtensionType.key_share, self.key_shares(shares)),
        ]

    @staticmethod
    def secret(group):
        exchange = ECDHKeyExchange(group, (3, 4))
        return exchange, exchange.get_random_private_key()

    def public(self, group):
        exchange, private = self.secrets[group]
        return bytes(exchange.calc_public_value(private))

    def key_shares(self, groups):
        return vector(2, *(self.share(group, self.public(group)) for group in groups))

    @staticmethod
    def share(group, public):
        return numbers(group) + vector(2, public)

    def put(self, kind, body):
        """Replaces an extension, or adds it at the end."""
        if any(known == kind for known, _ in self.extensions):
            self.extensions = [(known, body if known == kind else was) for known, was in self.extensions]
        else:
            self.extensions.append((kind, body))
        return self

    def drop(self, *kinds):
        self.extensions = [(known, body) for known, body in self.extensions if known not in kinds]
        return self

    def body(self):
        extensions = (numbers(kind) + vector(2, body) for kind, body in self.extensions)
        return b"".join(
            [
                numbers(self.version),
                self.random,
                vector(1, self.session),
                vector(2, numbers(*self.suites)),
                vector(1, self.compressions),
                vector(2, *extensions),
            ]
        )

    def bytes(self):
        return message(HandshakeType.client_hello, self.body())


class Talk:
    """One connection to the node."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sending = self.receiving = None
        self.transcript = self.pending = b""
        self.asked = False
        self.early = hmac(bytes(32), bytes(32))
        self.key_updates, self.tickets = [], []
        self.resumed = self.early_taken = False

    # ---- out

    def raw(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # What the node said before it closed can still be read.

    def record(self, kind, payload, pad=0):
        if self.sending:
            self.raw(self.sending.sealed(payload + bytes([kind]) + bytes(pad)))
        else:
            self.raw(struct.pack("!BHH", kind, 0x0301, len(payload)) + payload)

    def say(self, *messages):
        """Handshake messages together, in as many records as they need."""
        data = b"".join(messages)
        self.transcript += data
        for at in range(0, len(data), FRAGMENT):
            self.record(HANDSHAKE, data[at : at + FRAGMENT])

    def greet(self, hello):
        self.hello = hello
        self.say(hello.bytes())

    # ---- in

    def exactly(self, size):
        data = b""
        while len(data) < size:
            try:
                piece = self.socket.recv(size - len(data))
            except (TimeoutError, socket.timeout):
                raise Ended("silence") from None
            except ConnectionError:
                raise Ended("closed") from None
            if not piece:
                raise Ended("closed")
            data += piece
        return data

    def read_record(self):
        while True:
            header = self.exactly(5)
            kind, _, size = struct.unpack("!BHH", header)
            payload = self.exactly(size)
            if kind == CCS:
                continue
            if kind == DATA and self.receiving:
                try:
                    payload = self.receiving.opened(header, payload).rstrip(b"\0")
                except InvalidTag:
                    raise Ended("undecipherable") from None
                kind, payload = payload[-1], payload[:-1]
            if kind == ALERT:
                number = payload[1]
                raise Ended("closed" if number == 0 else AlertDescription.toStr(number).replace("_", "-"))
            return kind, payload

    def read_message(self):
        """The next handshake message with its header."""
        while len(self.pending) < 4 or len(self.pending) < 4 + int.from_bytes(self.pending[1:4], "big"):
            kind, payload = self.read_record()
            if kind != HANDSHAKE:
                raise Ended(f"record {kind}")
            self.pending += payload
        size = 4 + int.from_bytes(self.pending[1:4], "big")
        one, self.pending = self.pending[:size], self.pending[size:]
        return one

    def server_hello(self):
        """The ServerHello, and whether it is a request to try again."""
        data = self.read_message()
        if data[0] != HandshakeType.server_hello:
            raise Ended(f"message {data[0]}")
        parsed = ServerHello().parse(Parser(bytearray(data[1:])))
        again = bytes(parsed.random) == RETRY
        if again:
            self.transcript = message(HandshakeType.message_hash, digest(self.transcript))
        self.transcript += data
        return parsed, again

    def meet(self):
        """From ServerHello to the node's Finished."""
        parsed, again = self.server_hello()
        if again:
            raise Ended("hello-retry-request")
        share = parsed.getExtension(ExtensionType.key_share).server_share
        self.resumed = parsed.getExtension(ExtensionType.pre_shared_key) is not None
        if not self.resumed:
            self.early = hmac(bytes(32), bytes(32))
        exchange, private = self.hello.secrets[share.group]
        shared = bytes(exchange.calc_shared_key(private, share.key_exchange))
        secret = hmac(expand(self.early, b"derived", digest(b"")), shared)
        context = digest(self.transcript)
        self.sending = Keys(expand(secret, b"c hs traffic", context))
        self.receiving = Keys(expand(secret, b"s hs traffic", context))
        self.master = hmac(expand(secret, b"derived", digest(b"")), bytes(32))
        while True:
            data = self.read_message()
            self.asked |= data[0] == HandshakeType.certificate_request
            if data[0] == HandshakeType.encrypted_extensions:
                known = EncryptedExtensions().parse(Parser(bytearray(data[1:])))
                self.early_taken = known.getExtension(ExtensionType.early_data) is not None
            if data[0] == HandshakeType.finished:
                key = expand(self.receiving.secret, b"finished")
                assert data[4:] == hmac(key, digest(self.transcript)), "the node's Finished is wrong"
            self.transcript += data
            if data[0] == HandshakeType.finished:
                break
        context = digest(self.transcript)
        self.application = Keys(expand(self.master, b"c ap traffic", context))
        self.receiving = Keys(expand(self.master, b"s ap traffic", context))
        return self

    # ---- the client's flight

    def certificate(self, chain, context=b"", extensions=b""):
        entries = (vector(3, der) + vector(2, extensions) for der in chain)
        return message(HandshakeType.certificate, vector(1, context) + vector(3, *entries))

    def content(self, side=b"client", transcript=None):
        transcript = self.transcript if transcript is None else transcript
        return b" " * 64 + b"TLS 1.3, " + side + b" CertificateVerify\0" + digest(transcript)

    @staticmethod
    def verify(scheme, signature):
        return message(HandshakeType.certificate_verify, numbers(scheme) + vector(2, signature))

    def finished(self):
        key = expand(self.sending.secret, b"finished")
        return message(HandshakeType.finished, hmac(key, digest(self.transcript)))

    def finish(self):
        self.say(self.finished())
        self.switch()

    def switch(self):
        """From now on with the keys for application data."""
        self.resumption = expand(self.master, b"res master", digest(self.transcript))
        self.sending = self.application

    def prove(self, member):
        """The whole flight, as it should be."""
        if not self.resumed:
            self.say(self.certificate(member.chain))
            self.say(self.verify(member.scheme(), member.sign(self.content())))
        self.finish()
        return self

    # ---- afterwards

    def ask(self, path=b"/v1/datasets", extra=b""):
        """Asks and gives the status of the answer."""
        self.record(DATA, self.request(path, extra))
        return self.answer()

    @staticmethod
    def request(path=b"/v1/datasets", extra=b""):
        return b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + extra + b"\r\n"

    def answer(self):
        head = b""
        while b"\r\n" not in head:
            kind, payload = self.read_record()
            if kind == DATA:
                head += payload
            elif kind == HANDSHAKE:
                self.news(payload)
            else:
                raise Ended(f"record {kind}")
        return head.split(b" ")[1].decode()

    def news(self, payload):
        self.pending += payload
        while len(self.pending) >= 4 and len(self.pending) >= 4 + int.from_bytes(self.pending[1:4], "big"):
            one = self.read_message()
            if one[0] == HandshakeType.key_update:
                self.key_updates.append(one[4])
                self.receiving = self.receiving.next()
            elif one[0] == HandshakeType.new_session_ticket:
                self.tickets.append(Ticket(self.resumption, one[4:]))
            else:
                raise Ended(f"message {one[0]}")


class Ticket:
    """What the node gave to come back with."""

    def __init__(self, resumption, body):
        read = Parser(bytearray(body))
        self.life, self.add = read.get(4), read.get(4)
        nonce, self.label = bytes(read.getVarBytes(1)), bytes(read.getVarBytes(2))
        self.extensions = bytes(read.getVarBytes(2))
        self.key = expand(resumption, b"resumption", nonce)

    def early(self):
        return hmac(bytes(32), self.key)

    def offer(self, hello, before=b"", spoil=None):
        """Puts itself at the end of a hello. `before` is the transcript so far; `spoil` bends the binder."""
        age = self.add.to_bytes(4, "big")
        hello.put(
            ExtensionType.pre_shared_key, vector(2, vector(2, self.label) + age) + vector(2, vector(1, bytes(32)))
        )
        key = expand(expand(self.early(), b"res binder", digest(b"")), b"finished")
        binder = hmac(key, digest(before + hello.bytes()[:-35]))
        binders = vector(2, vector(1, spoil(binder) if spoil else binder))
        return hello.put(ExtensionType.pre_shared_key, vector(2, vector(2, self.label) + age) + binders)
