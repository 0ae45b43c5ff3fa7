#!/usr/bin/env python3
"""A second verifier of evidence, written from docs/evidence.md and its vectors alone, on Python's standard library.

    evidence_verifier.py <bundle|dir> --key <vkey> [--since <file>] [--policy <file>] [--max-age <seconds>]
                         [--client <id>]

prints the exit code's meaning and the fault. Without arguments it answers many questions in one process: each line of
stdin is an object with `bundle` (the JSON form, as a string) and `arguments` (as in vectors.json); the answer is a line
with `exit` and `fault`.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
import sys
import time

MAX_NUMBER = 2**53 - 1
FORMAT = "consumer-clients/evidence@v1"


class Usage(Exception):
    pass


class Unreadable(Exception):
    pass


class Fault(Exception):
    """Step 2 to 8."""


class NotEnough(Exception):
    """Step 9 and 10."""


def require(condition, name):
    if not condition:
        raise Fault(name)


# ---- Words and conventions


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def utf8(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def unbase64(text):
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode("ascii") == text else None


def number(text):
    if not re.fullmatch(r"0|[1-9][0-9]*", text, re.ASCII) or len(text) > 16:
        return None
    value = int(text)
    return value if value <= MAX_NUMBER else None


NAME = "[^\u0000-\u0020+\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
HEX64 = re.compile(r"[0-9a-f]{64}", re.ASCII)

# ---- Ed25519 (RFC 8032, section 5.1), verification only

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def point_add(one, other):
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_times(scalar, point):
    result = (0, 1, 1, 0)
    while scalar > 0:
        if scalar & 1:
            result = point_add(result, point)
        point = point_add(point, point)
        scalar >>= 1
    return result


def point_equal(one, other):
    return (one[0] * other[2] - other[0] * one[2]) % P == 0 and (one[1] * other[2] - other[1] * one[2]) % P == 0


def point_from(data):
    y = int.from_bytes(data, "little")
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else (0, y, 1, 0)
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P != 0:
        x = x * SQRT_OF_MINUS_1 % P
    if (x * x - x2) % P != 0:
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = point_from(BASE_Y.to_bytes(32, "little"))
verified = {}


def ed25519(public_key, message, signature):
    question = (public_key, message, signature)
    if question not in verified:
        verified[question] = ed25519_afresh(*question)
    return verified[question]


def ed25519_afresh(public_key, message, signature):
    if len(signature) != 64:
        return False
    a, r = point_from(public_key), point_from(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public_key + message).digest(), "little") % L
    return point_equal(point_times(s, BASE), point_add(r, point_times(h, a)))


# ---- Signed notes and keys


class Key:
    def __init__(self, vkey):
        match = re.fullmatch(f"({NAME})\\+([0-9a-f]{{8}})\\+(.+)", vkey)
        data = unbase64(match[3]) if match else None
        if data is None or len(data) != 33:
            raise Usage("not a vkey")
        self.vkey, self.name, self.type, self.public = vkey, match[1], data[0], data[1:]
        self.id = sha256(self.name.encode(), b"\n", data)[:4]
        if self.id.hex() != match[2]:
            raise Usage("the key id is another")
        if self.type not in (1, 4):
            raise Usage("the type is neither 1 nor 4")


class Note:
    """A signed note; its signatures are (name, key id, signature)."""

    def __init__(self, text, signatures):
        self.text, self.signatures = text, signatures

    def lines_of(self, key):
        return [signature for name, key_id, signature in self.signatures if (name, key_id) == (key.name, key.id)]

    def signed(self, signature, key):
        return ed25519(key.public, self.text.encode(), signature)

    def cosigned(self, signature, key):
        """The time, or None."""
        if len(signature) != 72:
            return None
        seconds = int.from_bytes(signature[:8], "big")
        message = f"cosignature/v1\ntime {seconds}\n{self.text}".encode()
        return seconds if seconds <= MAX_NUMBER and ed25519(key.public, message, signature[8:]) else None


def note_in(data):
    text = utf8(data)
    if text is None or any(character < " " and character != "\n" for character in text):
        return None
    end = text.rfind("\n\n")
    if end < 0 or not text.endswith("\n"):
        return None
    lines = text[end + 2 : -1].split("\n")
    if len(lines) > 100:
        return None
    signatures = []
    for line in lines:
        match = re.fullmatch(f"\u2014 ({NAME}) ([A-Za-z0-9+/=]+)", line)
        signature = unbase64(match[2]) if match else None
        if signature is None or len(signature) < 5:
            return None
        signatures.append((match[1], signature[:4], signature[4:]))
    return Note(text[: end + 1], signatures)


class Head:
    def __init__(self, data, note, origin, size, root):
        self.data, self.note, self.origin, self.size, self.root = data, note, origin, size, root


def head_in(data):
    note = note_in(data)
    lines = note.text.split("\n") if note else []
    if len(lines) != 4 or not re.fullmatch(NAME, lines[0]):
        return None
    size, root = number(lines[1]), unbase64(lines[2])
    if size is None or root is None or len(root) != 32:
        return None
    return Head(data, note, lines[0], size, root)


# ---- Proofs (RFC 9162, section 2.1)


def proof_in(data, first_lines, label):
    """Returns (number, hashes, head's bytes), or None."""
    text = utf8(data)
    end = text.find("\n\n") if text is not None else -1
    if end < 0:
        return None
    lines = text[:end].split("\n")
    if lines[: len(first_lines)] != first_lines:
        return None
    lines = lines[len(first_lines) :]
    if not lines or not lines[0].startswith(label):
        return None
    value = number(lines[0][len(label) :])
    hashes = [unbase64(line) for line in lines[1:]]
    if value is None or len(hashes) > 64 or any(each is None or len(each) != 32 for each in hashes):
        return None
    return value, hashes, text[end + 2 :].encode()


def node_hash(left, right):
    return sha256(b"\x01", left, right)


def included(leaf, index, size, hashes, root):
    if index >= size:
        return False
    fn, sn, r = index, size - 1, sha256(b"\x00", leaf)
    for p in hashes:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def consistent(first, first_root, second, second_root, hashes):
    if first == 0:
        return not hashes and first_root == sha256()
    path = list(hashes)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    if not path:
        return False
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first_root and sr == second_root


# ---- Events


class NotCanonical(Exception):
    pass


def refuse(_):
    raise NotCanonical


ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def canonical_text(text):
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise NotCanonical
    return '"%s"' % "".join(
        ESCAPES.get(character) or (f"\\u{ord(character):04x}" if character < " " else character) for character in text
    )


def canonical(value, depth=1):
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return canonical_text(value)
    if isinstance(value, int):
        if abs(value) > MAX_NUMBER:
            raise NotCanonical
        return str(value)
    if depth > 64:
        raise NotCanonical
    if isinstance(value, list):
        return "[%s]" % ",".join(canonical(item, depth + 1) for item in value)
    names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
    return "{%s}" % ",".join(f"{canonical_text(name)}:{canonical(value[name], depth + 1)}" for name in names)


def event_in(data):
    text = utf8(data)
    if text is None:
        return None
    try:
        event = json.loads(text, parse_float=refuse, parse_constant=refuse)
        if canonical(event) != text:
            return None
    except (ValueError, RecursionError, NotCanonical):
        return None
    if not isinstance(event, dict):
        return None
    if set(event) != {"data", "eventId", "metadata", "revision", "stream", "type"}:
        return None
    metadata = event["metadata"]
    if not isinstance(event["data"], dict) or not isinstance(metadata, dict) or "hash" in metadata:
        return None
    if not all(isinstance(event[name], str) for name in ("eventId", "revision", "stream", "type")):
        return None
    previous, occurred = metadata.get("previousHash"), metadata.get("occurredAt")
    if not isinstance(previous, str) or not HEX64.fullmatch(previous) or not isinstance(occurred, str):
        return None
    return event


ENDS = ("ConsumerClientRevoked", "SubscriptionEnded")

# ---- The policy (C2SP tlog-policy)


class Policy:
    def __init__(self, data):
        text = utf8(data)
        if text is None:
            raise Usage("the policy is not UTF-8")
        self.logs, self.witnesses, self.groups, self.members, self.quorum = [], {}, {}, set(), None
        for line in text.split("\n"):
            if any((character < " " and character != "\t") or character == "\x7f" for character in line):
                raise Usage("a control character in the policy")
            words = [word for word in re.split("[ \t]+", line) if word]
            if words and not words[0].startswith("#"):
                self.read(words[0], words[1:])
        if self.quorum is None:
            raise Usage("the policy has no quorum")

    def read(self, keyword, words):
        if keyword == "log" and len(words) in (1, 2):
            self.logs.append(self.key(words[0], 1, self.logs))
        elif keyword == "witness" and len(words) in (2, 3):
            self.define(words[0])
            self.witnesses[words[0]] = self.key(words[1], 4, self.witnesses.values())
        elif keyword == "group" and len(words) >= 3:
            self.define(words[0])
            self.group(words[0], words[1], words[2:])
        elif keyword == "quorum" and len(words) == 1 and self.quorum is None:
            if words[0] != "none" and words[0] not in self.witnesses and words[0] not in self.groups:
                raise Usage("the quorum is not defined")
            self.quorum = words[0]
        else:
            raise Usage("no line of a policy")

    def key(self, vkey, type_, known):
        key = Key(vkey)
        if key.type != type_ or any(each.public == key.public for each in known):
            raise Usage("a key of another type, or twice")
        return key

    def define(self, name):
        if name == "none" or name in self.witnesses or name in self.groups:
            raise Usage("a name is defined twice")

    def group(self, name, threshold, members):
        for member in members:
            if member in self.members or (member not in self.witnesses and member not in self.groups):
                raise Usage("a member that is not defined, or twice")
            self.members.add(member)
        needed = {"any": 1, "all": len(members)}.get(threshold)
        if needed is None:
            needed = number(threshold) or 0
        if not 1 <= needed <= len(members):
            raise Usage("no threshold")
        self.groups[name] = (needed, members)

    def met(self, cosigners, name=None):
        name = self.quorum if name is None else name
        if name == "none":
            return True
        if name in self.witnesses:
            return self.witnesses[name].vkey in cosigners
        needed, members = self.groups[name]
        return sum(self.met(cosigners, member) for member in members) >= needed


# ---- Reading


MAX_FILE = 2 * 2**20


def checked(files):
    if any(len(data) > MAX_FILE for data in files.values()) or len(files) > 3_000_100:
        raise Unreadable
    return files


def bundle_from_json(data):
    text = utf8(data)
    if text is None or len(data) > 256 * 2**20:
        raise Unreadable
    try:
        bundle = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError, NotCanonical):
        raise Unreadable
    if not isinstance(bundle, dict) or set(bundle) != {"format", "files"} or bundle["format"] != FORMAT:
        raise Unreadable
    if not isinstance(bundle["files"], dict):
        raise Unreadable
    files = {}
    for name, content in bundle["files"].items():
        try:
            name.encode()
            data = content.encode() if isinstance(content, str) else None
        except UnicodeEncodeError:
            raise Unreadable
        if data is not None and name.endswith(".leaf"):
            data = unbase64(content)
        if data is None:
            raise Unreadable
        files[name] = data
    return checked(files)


def bundle_from_directory(path):
    files = {}

    def walk(directory, prefix):
        for entry in os.scandir(directory):
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                walk(entry.path, f"{prefix}{entry.name}/")
            elif stat.S_ISREG(mode):
                with open(entry.path, "rb") as file:
                    files[prefix + entry.name] = file.read(MAX_FILE + 1)
            else:
                raise Unreadable

    try:
        walk(path, "")
    except OSError:
        raise Unreadable
    return checked(files)


# ---- Verification

FIXED = ["MANIFEST", "checkpoint", "statement.note", "consistency", "policy"]


class Arguments:
    def __init__(self, key, since=None, policy=None, max_age=None, client=None, now=None):
        keys = [Key(vkey) for vkey in key]
        logs = [each for each in keys if each.type == 1]
        if len(logs) != 1:
            raise Usage("exactly one key of a log")
        self.log = logs[0]
        self.cosigners = [each for each in keys if each.type == 4]
        self.since = None
        if since is not None:
            self.since = head_in(since)
            if self.since is None or self.since.origin != self.log.name:
                raise Usage("the held head is no head of this log")
            lines = self.since.note.lines_of(self.log)
            if not lines or not all(self.since.note.signed(line, self.log) for line in lines):
                raise Usage("the held head is not signed")
        self.policy = Policy(policy) if policy is not None else None
        self.max_age, self.client, self.now = max_age, client, now


def verify(files, arguments):
    log = arguments.log
    # 2. Files
    for name in FIXED[:3]:
        require(name in files, "FILE_MISSING")
    count = sum(bool(re.fullmatch(r"events/[0-9]+\.json", name, re.ASCII)) for name in files)
    require(count >= 1, "FILE_MISSING")
    digits = max(3, len(str(count - 1)))
    names = [f"events/{revision:0{digits}d}" for revision in range(count)]
    expected = {f"{name}.{kind}" for name in names for kind in ("json", "leaf", "tlog-proof")}
    require(all(name in files for name in expected), "FILE_MISSING")
    require(all(name in expected for name in files if name.startswith("events/")), "FILE_UNEXPECTED")
    # 3. Manifest
    manifest = utf8(files["MANIFEST"])
    require(manifest is not None and manifest.endswith("\n"), "MANIFEST_MISMATCH")
    listed = set()
    for line in manifest[:-1].split("\n"):
        digest, separator, name = line[:64], line[64:66], line[66:]
        right = HEX64.fullmatch(digest) and separator == "  " and name in files and name != "MANIFEST"
        require(right and name not in listed and sha256(files[name]).hex() == digest, "MANIFEST_MISMATCH")
        listed.add(name)
    known = [name for name in files if name in expected or name in FIXED[1:]]
    require(all(name in listed for name in known), "MANIFEST_MISMATCH")
    # 4. Head
    checkpoint = files["checkpoint"]
    head = head_in(checkpoint)
    require(head is not None, "HEAD_MALFORMED")
    require(head.origin == log.name, "HEAD_OF_ANOTHER_LOG")
    lines = head.note.lines_of(log)
    require(lines, "HEAD_NOT_SIGNED")
    require(all(head.note.signed(line, log) for line in lines), "HEAD_SIGNATURE_WRONG")
    # 5. Since
    since = arguments.since
    if since is not None:
        require(since.size <= head.size, "ROLLED_BACK")
        if since.size == head.size:
            require(since.root == head.root, "SECOND_ROOT")
        else:
            require("consistency" in files, "CONSISTENCY_MISSING")
            proof = proof_in(files["consistency"], [], "old ")
            require(proof is not None, "CONSISTENCY_MALFORMED")
            require(proof[0] == since.size, "CONSISTENCY_OF_ANOTHER_SIZE")
            require(proof[2] == checkpoint, "CONSISTENCY_OF_ANOTHER_HEAD")
            require(consistent(since.size, since.root, head.size, head.root, proof[1]), "CONSISTENCY_WRONG")
    # 6. Events
    stream = None if arguments.client is None else f"consumerClient-{arguments.client}"
    previous, last, last_index = "0" * 64, None, -1
    for revision, name in enumerate(names):
        data, leaf = files[f"{name}.json"], files[f"{name}.leaf"]
        require(leaf == sha256(data), "LEAF_MISMATCH")
        event = event_in(data)
        require(event is not None, "EVENT_MALFORMED")
        stream = event["stream"] if stream is None else stream
        require(event["stream"] == stream, "EVENT_OF_ANOTHER_STREAM")
        require(event["revision"] == str(revision), "REVISION_GAP")
        require(event["metadata"]["previousHash"] == previous, "CHAIN_BROKEN")
        require(last is None or last["type"] not in ENDS, "EVENT_AFTER_END")
        proof = proof_in(files[f"{name}.tlog-proof"], ["c2sp.org/tlog-proof@v1"], "index ")
        require(proof is not None, "PROOF_MALFORMED")
        require(proof[2] == checkpoint, "PROOF_OF_ANOTHER_HEAD")
        require(proof[0] > last_index, "INDEX_OUT_OF_ORDER")
        require(included(leaf, proof[0], head.size, proof[1], head.root), "INCLUSION_WRONG")
        previous, last, last_index = leaf.hex(), event, proof[0]
    # 7. Statement
    note = note_in(files["statement.note"])
    lines = note.text.split("\n") if note else []
    require(len(lines) == 8 and lines[0] == "consumer-clients/statement@v1", "STATEMENT_MALFORMED")
    said_origin, said_stream, said_revision, said_hash, said_size, said_end = lines[1:7]
    said_revision, said_size = number(said_revision), number(said_size)
    require(said_origin != "" and said_stream != "", "STATEMENT_MALFORMED")
    require(said_revision is not None and said_size is not None, "STATEMENT_MALFORMED")
    require(HEX64.fullmatch(said_hash) and said_end in ("live", "ended"), "STATEMENT_MALFORMED")
    lines = note.lines_of(log)
    require(lines, "STATEMENT_NOT_SIGNED")
    require(all(note.signed(line, log) for line in lines), "STATEMENT_SIGNATURE_WRONG")
    require(said_origin == head.origin, "STATEMENT_OF_ANOTHER_LOG")
    require(said_stream == stream, "STATEMENT_OF_ANOTHER_STREAM")
    require(said_size == head.size, "STATEMENT_OF_ANOTHER_HEAD")
    require(said_revision <= count - 1, "EVENTS_LEFT_OUT")
    true = said_revision == count - 1 and said_hash == previous and (said_end == "ended") == (last["type"] in ENDS)
    require(true, "STATEMENT_FALSE")
    # 8. Cosignatures
    policy = arguments.policy
    cosigners, times = set(), []
    for key in arguments.cosigners + (list(policy.witnesses.values()) if policy else []):
        for line in head.note.lines_of(key):
            seconds = head.note.cosigned(line, key)
            require(seconds is not None, "COSIGNATURE_WRONG")
            cosigners.add(key.vkey)
            times.append(seconds)
    # 9. Policy
    if policy is not None:
        if policy.logs and log.vkey not in [each.vkey for each in policy.logs]:
            raise NotEnough("LOG_NOT_IN_POLICY")
        if not policy.met(cosigners):
            raise NotEnough("QUORUM_NOT_MET")
    # 10. Age
    if arguments.max_age is not None:
        if not times:
            raise NotEnough("HEAD_TIME_UNKNOWN")
        age = arguments.now - max(times)
        if age < -300:
            raise NotEnough("HEAD_FROM_FUTURE")
        if age > arguments.max_age:
            raise NotEnough("HEAD_TOO_OLD")


def answer(read, given):
    try:
        arguments = Arguments(**given)
        verify(read(), arguments)
    except Usage:
        return 2, None
    except Unreadable:
        return 3, None
    except Fault as fault:
        return 1, str(fault)
    except NotEnough as reason:
        return 4, str(reason)
    return 0, None


def arguments_of_vector(given):
    given = dict(given)
    for name in ("since", "policy"):
        if name in given:
            given[name] = given[name].encode()
    if "maxAge" in given:
        given["max_age"] = given.pop("maxAge")
    return given


def answer_lines():
    for line in sys.stdin:
        question = json.loads(line)
        data = question["bundle"].encode("utf-8", "surrogatepass")
        exit_code, fault = answer(lambda: bundle_from_json(data), arguments_of_vector(question["arguments"]))
        print(json.dumps({"exit": exit_code, "fault": fault}))


def main():
    import argparse

    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("--key", action="append", required=True)
    for option in ("--since", "--policy", "--client"):
        parser.add_argument(option)
    parser.add_argument("--max-age", type=int)
    options = parser.parse_args()

    def content(path):
        if path is None:
            return None
        with open(path, "rb") as file:
            return file.read()

    def read():
        if os.path.isdir(options.bundle):
            return bundle_from_directory(options.bundle)
        try:
            return bundle_from_json(content(options.bundle))
        except OSError:
            raise Unreadable

    exit_code, fault = answer(
        read,
        {
            "key": options.key,
            "since": content(options.since),
            "policy": content(options.policy),
            "max_age": options.max_age,
            "client": options.client,
            "now": int(time.time()),
        },
    )
    print(["holds", "does not hold", "wrong arguments", "unreadable", "holds, but is not enough"][exit_code], fault or "")
    sys.exit(exit_code)


if __name__ == "__main__":
    main() if len(sys.argv) > 1 else answer_lines()
