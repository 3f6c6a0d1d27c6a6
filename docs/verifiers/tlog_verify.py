#!/usr/bin/env python3
"""Check Xinqiao (信桥) receipts and logs without any of Xinqiao's own code.

Written from the public texts alone: C2SP signed-note, tlog-checkpoint, tlog-tiles and tlog-proof, RFC 6962, RFC 9162
and RFC 8032. Needs Python 3.7 or later and nothing else; where the package `cryptography` is installed, it checks the
Ed25519 signatures, otherwise the slow code below does.

    tlog_verify.py receipt      --jwks keys.json receipt.json [--body sent.json]
    tlog_verify.py proof        --key VKEY entry.json entry.tlog-proof
    tlog_verify.py batch        --jwks keys.json 7.manifest.json 7.tlog-proof
    tlog_verify.py consistency  --jwks keys.json --tiles DIR old-checkpoint new-checkpoint
    tlog_verify.py log          --jwks keys.json --tiles DIR checkpoint

`--key` is a verifier key, `name+hash+base64`; `--jwks` is the node's published key set. Either must have come to you
through a channel you trust: the keys are what the verdict rests on. `--tiles` is a directory that holds the log's
`tile/...` files under their own paths, as saved from `GET /v1/log/tile/...` or copied from the node's `log/`.

Exit codes: 0 verified, 1 a file cannot be read, 2 usage, 4 verification failed.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import re
import sys

MAX_NOTE = 128 * 1024


class Refused(Exception):
    """Something does not verify, or is not in the form its specification wants."""


# ---- receipts and proofs -------------------------------------------------------------------------------------------


def verify_receipt(text, keys, body=None):
    """The log entry that the receipt proves; Refused if it proves nothing."""
    receipt = strict_json(text)
    if not isinstance(receipt, dict) or set(receipt) != {"entry", "salt", "rejected", "proof"}:
        raise Refused("receipt: expected exactly entry, salt, rejected and proof")
    if not all(isinstance(receipt[name], str) for name in ("entry", "salt", "proof")):
        raise Refused("receipt: entry, salt and proof are texts")
    entry, salt = b64(receipt["entry"]), b64(receipt["salt"])
    if len(salt) != 32:
        raise Refused("receipt: the salt has 32 bytes")
    checkpoint = verify_proof(receipt["proof"], entry, keys)
    # From here on every field comes from the entry, which the proof covers, and from nowhere else.
    fields = strict_json(entry.decode("utf-8"))
    if canonical(fields) != entry:
        raise Refused("entry: not in canonical form (RFC 8785)")
    if fields.get("kind") != "submission" or fields.get("v") != 1:
        raise Refused("entry: not a submission of version 1")
    if "%s/epoch-%s" % (fields["node"], fields["epoch"]) != checkpoint["origin"]:
        raise Refused("entry: names another node or epoch than the log that signed it")
    if not isinstance(receipt["rejected"], list):
        raise Refused("receipt: rejected is a list")
    check_salted("rejected", salt, canonical(receipt["rejected"]), fields["rejected_digest"])
    if body is not None:
        check_salted("body", salt, body, fields["body_digest"])
    return fields, checkpoint


def check_salted(what, salt, data, digests):
    digest = hmac.new(salt, data, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(digest, digests["sha-256"]):
        raise Refused("%s: not what the log entry binds" % what)


def verify_batch(text, proof, keys):
    """The manifest that the log shows the node to have sealed. (Its own ES256 signature is not checked here.)"""
    jws = strict_json(text)
    payload = b64url(jws["payload"])
    manifest = strict_json(payload.decode("utf-8"))
    digest = {"sha-256": hashlib.sha256(payload).hexdigest()}
    entry = {"v": 1, "node": manifest["node"], "epoch": manifest["epoch"], "time": manifest["created"],
             "stream": manifest["stream"], "seq": manifest["seq"], "manifest_digest": digest}
    if "void" in manifest:
        entry.update(kind="void", reason=manifest["void"])
    else:
        entry.update(kind="batch", records=manifest["records"])
    checkpoint = verify_proof(proof, canonical(entry), keys)
    if "%s/epoch-%s" % (manifest["node"], manifest["epoch"]) != checkpoint["origin"]:
        raise Refused("manifest: names another node or epoch than the log that signed the proof")
    return manifest, checkpoint


def verify_proof(text, entry, keys):
    """C2SP tlog-proof: the checkpoint in which `entry` is proved to be."""
    head, separator, note = text.partition("\n\n")
    lines = head.split("\n")
    if not separator or lines[0] != "c2sp.org/tlog-proof@v1":
        raise Refused("proof: not a c2sp.org/tlog-proof@v1")
    lines = lines[1:]
    if lines and lines[0].startswith("extra "):
        b64(lines[0][len("extra "):])  # opaque, and not authenticated: never used
        lines = lines[1:]
    if not lines or not lines[0].startswith("index "):
        raise Refused("proof: no index")
    index = decimal(lines[0][len("index "):])
    hashes = [digest32(line) for line in lines[1:]]
    checkpoint = open_checkpoint(note, keys)
    root = root_from_inclusion(leaf_hash(entry), index, checkpoint["size"], hashes)
    if root != checkpoint["root"]:
        raise Refused("proof: does not lead to the checkpoint's root")
    checkpoint["index"] = index
    return checkpoint


# ---- checkpoints and signed notes ----------------------------------------------------------------------------------


class Keys:
    """The keys a verdict rests on: verifier keys by name, or the log keys of a key set under any origin."""

    def __init__(self, vkeys=(), jwks=None):
        self.named = [parse_vkey(vkey) for vkey in vkeys]
        self.any_name = []
        for jwk in strict_json(jwks)["keys"] if jwks is not None else []:
            if jwk.get("kty") == "OKP" and jwk.get("crv") == "Ed25519" and jwk.get("xq_use") == "log":
                self.any_name.append(b64url(jwk["x"]))

    def find(self, name, key_id):
        candidates = [key for known, key in self.named if known == name] + self.any_name
        return next((key for key in candidates if note_key_id(name, key) == key_id), None)


def parse_vkey(text):
    parts = text.split("+", 2)
    if len(parts) != 3:
        raise Refused("key: expected name+hash+base64")
    typed = b64(parts[2])
    if len(typed) != 33 or typed[0] != 1:
        raise Refused("key: not an Ed25519 verifier key")
    if note_key_id(parts[0], typed[1:]).hex() != parts[1]:
        raise Refused("key: its hash does not fit")
    return parts[0], typed[1:]


def note_key_id(name, key):
    return hashlib.sha256(name.encode("utf-8") + b"\n\x01" + key).digest()[:4]


def open_checkpoint(note, keys):
    """The checkpoint in a signed note, if a known key signed it under the log's own name."""
    if len(note) > MAX_NOTE or not note.endswith("\n") or any(c < " " and c != "\n" for c in note):
        raise Refused("note: malformed")
    place = note.rfind("\n\n")
    if place < 0:
        raise Refused("note: no signatures")
    text, signatures = note[:place + 1], note[place + 2:]
    lines = text.split("\n")
    if len(lines) < 4 or "" in lines[:-1]:
        raise Refused("checkpoint: malformed")
    origin = lines[0]
    good = False
    for line in signatures[:-1].split("\n"):
        match = re.match("\\A\u2014 ([^\\s+]+) ([A-Za-z0-9+/=]+)\\Z", line)
        if not match:
            raise Refused("note: malformed signature line")
        signature = b64(match.group(2))
        key = keys.find(match.group(1), signature[:4])
        if key is None or match.group(1) != origin:
            continue  # a witness, or a key of another time
        if not ed25519_verify(key, text.encode("utf-8"), signature[4:]):
            raise Refused("checkpoint: a known key's signature does not verify")
        good = True
    if not good:
        raise Refused("checkpoint: not signed by a known log key")
    return {"origin": origin, "size": decimal(lines[1]), "root": digest32(lines[2])}


# ---- the Merkle tree of RFC 6962 -----------------------------------------------------------------------------------


def leaf_hash(data):
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_from_inclusion(leaf, index, size, proof):
    """RFC 9162 section 2.1.3.2."""
    if index >= size:
        raise Refused("proof: the index lies outside the tree")
    fn, sn, root = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise Refused("proof: too long")
        if fn & 1 or fn == sn:
            root = node_hash(sibling, root)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = node_hash(root, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise Refused("proof: too short")
    return root


def consistency_proof(old, start, end, whole, hash_of):
    """RFC 6962 section 2.1.2, SUBPROOF(old, D[start:end], whole)."""
    if old == end - start:
        return [] if whole else [hash_of(start, end)]
    split = start + largest_power_below(end - start)
    if old <= split - start:
        return consistency_proof(old, start, split, whole, hash_of) + [hash_of(split, end)]
    return consistency_proof(old - (split - start), split, end, False, hash_of) + [hash_of(start, split)]


def verify_consistency(old, old_root, new, new_root, proof):
    """RFC 9162 section 2.1.4.2."""
    if old > new:
        raise Refused("consistency: the older tree is larger")
    if old == new or old == 0:
        if proof or (old_root != new_root if old == new else old_root != hashlib.sha256(b"").digest()):
            raise Refused("consistency: one size, two roots")
        return
    if old & (old - 1) == 0:
        proof = [old_root] + proof
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    if not proof:
        raise Refused("consistency: no proof")
    from_old = from_new = proof[0]
    for sibling in proof[1:]:
        if sn == 0:
            raise Refused("consistency: proof too long")
        if fn & 1 or fn == sn:
            from_old, from_new = node_hash(sibling, from_old), node_hash(sibling, from_new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            from_new = node_hash(from_new, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn or from_old != old_root or from_new != new_root:
        raise Refused("consistency: the older tree is not a prefix of the newer: the log shows two histories")


def largest_power_below(number):
    return 1 << ((number - 1).bit_length() - 1)


# ---- tiles ---------------------------------------------------------------------------------------------------------


class Tiles:
    """The tile files of a log of `size` entries under a directory."""

    def __init__(self, directory, size):
        self.directory, self.size, self.cache = directory, size, {}

    def read(self, kind, index):
        """A full tile, or as much of it as a log of this size has."""
        level = 0 if kind == "entries" else kind
        width = min(256, (self.size >> (8 * level)) - 256 * index)
        path = os.path.join("tile", str(kind), *self.elements(index))
        names = [path] if width == 256 else [path + os.path.join(".p", str(width)), path]
        for name in names:
            try:
                with open(os.path.join(self.directory, name), "rb") as file:
                    return file.read(), width
            except FileNotFoundError:
                continue
        raise Refused("tile missing: %s" % names[0])

    @staticmethod
    def elements(index):
        digits = str(index)
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[place:place + 3] for place in range(0, len(digits), 3)]
        return ["x" + part for part in parts[:-1]] + parts[-1:]

    def complete(self, level, index):
        """The hash of the complete subtree over leaves [index << level, (index + 1) << level)."""
        known = self.cache.get((level, index))
        if known is None:
            if level % 8 == 0:
                tile, width = self.read(level // 8, index // 256)
                if index % 256 >= width or len(tile) < 32 * width:
                    raise Refused("tile too short: level %d, tile %d" % (level // 8, index // 256))
                for place in range(width):
                    key = (level, index // 256 * 256 + place)
                    self.cache[key] = tile[32 * place:32 * place + 32]
                known = self.cache[(level, index)]
            else:
                known = node_hash(self.complete(level - 1, 2 * index), self.complete(level - 1, 2 * index + 1))
                self.cache[(level, index)] = known
        return known

    def hash_of(self, start, end):
        """MTH(D[start:end]) of RFC 6962."""
        count = end - start
        if count == 0:
            return hashlib.sha256(b"").digest()
        if count & (count - 1) == 0 and start % count == 0:
            return self.complete(count.bit_length() - 1, start // count)
        split = start + largest_power_below(count)
        return node_hash(self.hash_of(start, split), self.hash_of(split, end))

    def entries(self):
        """Every entry, from the bundles."""
        for index in range(-(-self.size // 256)):
            bundle, width = self.read("entries", index)
            for _ in range(width):
                length = int.from_bytes(bundle[:2], "big")
                if len(bundle) < 2 + length:
                    raise Refused("entry bundle %d is cut short" % index)
                yield bundle[2:2 + length]
                bundle = bundle[2 + length:]


def verify_consistency_of(old, new, directory):
    """That the log of checkpoint `new` holds the log of checkpoint `old`, by the tiles."""
    if old["origin"] != new["origin"]:
        raise Refused("consistency: the checkpoints are of two logs (another epoch is another log)")
    if old["size"] > new["size"]:
        raise Refused("consistency: the second checkpoint is the older one")
    proof = []
    if 0 < old["size"] < new["size"]:
        tiles = Tiles(directory, new["size"])
        proof = consistency_proof(old["size"], 0, new["size"], True, tiles.hash_of)
    verify_consistency(old["size"], old["root"], new["size"], new["root"], proof)


def verify_log(checkpoint, directory):
    """That entries, tiles and checkpoint are one log, from the first entry to the last."""
    tiles = Tiles(directory, checkpoint["size"])
    for index, entry in enumerate(tiles.entries()):
        if tiles.complete(0, index) != leaf_hash(entry):
            raise Refused("entry %d is not the one in the tree" % index)
    # Every stored level is recomputed from the one below: a wrong upper tile would mislead later proofs.
    for level in range(8, checkpoint["size"].bit_length(), 8):
        for index in range(checkpoint["size"] >> level):
            stored = tiles.complete(level, index)
            below = [tiles.complete(level - 8, 256 * index + place) for place in range(256)]
            while len(below) > 1:
                below = [node_hash(below[place], below[place + 1]) for place in range(0, len(below), 2)]
            if below[0] != stored:
                raise Refused("tile of level %d, hash %d is not that of the tiles below" % (level // 8, index))
    if tiles.hash_of(0, checkpoint["size"]) != checkpoint["root"]:
        raise Refused("the tiles do not lead to the checkpoint's root")


# ---- strict text forms ---------------------------------------------------------------------------------------------


def b64(text):
    """RFC 4648 section 4, and only its one spelling of a byte string."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise Refused("not base64")
    if base64.b64encode(data).decode("ascii") != text:
        raise Refused("not canonical base64")
    return data


def b64url(text):
    return b64(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4))


def digest32(text):
    data = b64(text)
    if len(data) != 32:
        raise Refused("not a SHA-256 hash")
    return data


def decimal(text):
    if not re.match("\\A(0|[1-9][0-9]{0,19})\\Z", text):
        raise Refused("not a decimal number: %r" % text[:40])
    return int(text)


def strict_json(text):
    def members(pairs):
        if len({name for name, _ in pairs}) != len(pairs):
            raise Refused("JSON: duplicate member")
        return dict(pairs)

    def refuse(_):
        raise Refused("JSON: only whole numbers are expected here")

    try:
        return json.loads(text, object_pairs_hook=members, parse_float=refuse, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Refused("not JSON")


def canonical(value):
    """RFC 8785 for values without fractions."""

    def ordered(value):
        if isinstance(value, dict):
            return {name: ordered(value[name]) for name in sorted(value, key=lambda name: name.encode("utf-16-be"))}
        if isinstance(value, list):
            return [ordered(item) for item in value]
        return value

    return json.dumps(ordered(value), ensure_ascii=False, separators=(",", ":")).encode("utf-8")


# ---- Ed25519, RFC 8032 section 5.1.7 -------------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def ed25519_verify(key, message, signature):
    if len(key) != 32 or len(signature) != 64:
        return False
    if not os.environ.get("TLOG_VERIFY_PURE"):
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError:
            pass
        else:
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
                return True
            except (InvalidSignature, ValueError):
                return False
    return ed25519_verify_pure(key, message, signature)


def ed25519_verify_pure(key, message, signature):
    a, r = decompress(key), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left = multiply(s, BASE)
    right = add(r, multiply(k, a))
    # Equality of points in extended coordinates.
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else (0, y, 1, 0)
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P:
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def add(a, b):
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    w, x, y, z = f - e, h - g, h + g, f + e
    return w * x % P, y * z % P, x * y % P, w * z % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


# ---- command line --------------------------------------------------------------------------------------------------


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    files = {
        "receipt": ["receipt"],
        "proof": ["entry", "proof"],
        "batch": ["manifest", "proof"],
        "consistency": ["old", "new"],
        "log": ["checkpoint"],
    }
    for name, positional in files.items():
        command = commands.add_parser(name)
        command.add_argument("--key", action="append", default=[], help="verifier key, name+hash+base64")
        command.add_argument("--jwks", help="the node's key set")
        for argument in positional:
            command.add_argument(argument)
        if name == "receipt":
            command.add_argument("--body", help="what was sent, decoded: checked against the receipt")
        if name in ("consistency", "log"):
            command.add_argument("--tiles", required=True, help="directory that holds tile/...")
    options = parser.parse_args(arguments)
    if not options.key and not options.jwks:
        parser.error("give --key or --jwks: without a pinned key nothing can be verified")
    try:
        keys = Keys(options.key, read(options.jwks) if options.jwks else None)
        if options.command == "receipt":
            with open(options.body, "rb") if options.body else open(os.devnull, "rb") as file:
                body = file.read() if options.body else None
            fields, checkpoint = verify_receipt(read(options.receipt), keys, body)
            print("verified: entry %d of %s at size %d" % (checkpoint["index"], checkpoint["origin"], checkpoint["size"]))
            print(json.dumps(fields, ensure_ascii=False, indent=2))
        elif options.command == "proof":
            with open(options.entry, "rb") as file:
                checkpoint = verify_proof(read(options.proof), file.read(), keys)
            print("verified: entry %d of %s at size %d" % (checkpoint["index"], checkpoint["origin"], checkpoint["size"]))
        elif options.command == "batch":
            manifest, checkpoint = verify_batch(read(options.manifest), read(options.proof), keys)
            where = (manifest["stream"], manifest["seq"], checkpoint["index"], checkpoint["origin"], checkpoint["size"])
            print("verified: batch %s %d is entry %d of %s at size %d" % where)
        elif options.command == "consistency":
            old, new = (open_checkpoint(read(path), keys) for path in (options.old, options.new))
            verify_consistency_of(old, new, options.tiles)
            print("verified: %s grew from %d to %d entries, none changed" % (new["origin"], old["size"], new["size"]))
        else:
            checkpoint = open_checkpoint(read(options.checkpoint), keys)
            verify_log(checkpoint, options.tiles)
            print("verified: all %d entries of %s" % (checkpoint["size"], checkpoint["origin"]))
    except (Refused, KeyError, AttributeError, TypeError, UnicodeDecodeError) as error:
        print("NOT VERIFIED: %s" % (error if isinstance(error, Refused) else "malformed input (%r)" % error), file=sys.stderr)
        return 4
    except OSError as error:
        print("cannot read: %s" % error, file=sys.stderr)
        return 1
    return 0


def read(path):
    with open(path, "r", encoding="utf-8", newline="") as file:
        return file.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
