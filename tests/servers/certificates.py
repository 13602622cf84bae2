"""Certificates for the tests' servers: an authority of one's own, and what it issues (RFC 5280, RFC 5480)."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from Crypto.Hash import SHA256
from Crypto.PublicKey import ECC
from Crypto.Signature import DSS

SEQUENCE, SET, INTEGER, BITS, OCTETS, OID, TEXT, UTC_TIME, BOOLEAN = (
    *(0x30, 0x31, 0x02, 0x03, 0x04, 0x06, 0x0C, 0x17, 0x01),
)
ECDSA_SHA256 = "1.2.840.10045.4.3.2"
COMMON_NAME = "2.5.4.3"
SUBJECT_KEY, KEY_USAGE, ALTERNATIVE_NAMES = "2.5.29.14", "2.5.29.15", "2.5.29.17"
BASIC_CONSTRAINTS, AUTHORITY_KEY, EXTENDED_USAGE = "2.5.29.19", "2.5.29.35", "2.5.29.37"
SERVER_AUTH, CLIENT_AUTH = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"
DAYS = 2  # longer than any run of the tests


class Authority:
    """A certificate authority; `pem` is what a client has to trust."""

    def __init__(self, name: str = "Tests") -> None:
        self._key = ECC.generate(curve="P-256")
        self._name = _name(name)
        uses = [
            _extension(BASIC_CONSTRAINTS, _tlv(SEQUENCE, _tlv(BOOLEAN, b"\xff")), critical=True),
            _extension(KEY_USAGE, _tlv(BITS, b"\x01\x06"), critical=True),  # keyCertSign and cRLSign
        ]
        self.pem = self._signed(self._name, self._key, uses, -DAYS, DAYS)

    def issue(self, *names: str, expired: bool = False) -> tuple[str, str]:
        """A certificate for addresses and host names, a server's or a client's, and its key, both PEM."""
        key = ECC.generate(curve="P-256")
        uses = [
            _extension(ALTERNATIVE_NAMES, _tlv(SEQUENCE, *map(_general, names))),
            _extension(EXTENDED_USAGE, _tlv(SEQUENCE, _oid(SERVER_AUTH), _oid(CLIENT_AUTH))),
        ]
        to = -1 if expired else DAYS
        return self._signed(_name(names[0]), key, uses, -DAYS, to), key.export_key(format="PEM")

    def write(self, folder: Path, *names: str, expired: bool = False) -> tuple[Path, Path, Path]:
        """The same as files: what to trust, the certificate, its key."""
        certificate, key = self.issue(*names, expired=expired)
        files = folder / "authority.pem", folder / "certificate.pem", folder / "key.pem"
        for path, text in zip(files, (self.pem, certificate, key), strict=True):
            path.write_text(text)
        return files

    def _signed(self, subject: bytes, key: Any, uses: list[bytes], since: int, to: int) -> str:
        now = datetime.now(UTC)
        algorithm = _tlv(SEQUENCE, _oid(ECDSA_SHA256))
        validity = _tlv(SEQUENCE, _time(now + timedelta(days=since)), _time(now + timedelta(days=to)))
        known = [
            _extension(SUBJECT_KEY, _tlv(OCTETS, _identifier(key))),
            _extension(AUTHORITY_KEY, _tlv(SEQUENCE, _tlv(0x80, _identifier(self._key)))),
        ]
        body = _tlv(
            SEQUENCE,
            _tlv(0xA0, _tlv(INTEGER, b"\x02")),  # version 3
            _tlv(INTEGER, b"\x01" + secrets.token_bytes(15)),
            algorithm,
            self._name,
            validity,
            subject,
            key.public_key().export_key(format="DER"),
            _tlv(0xA3, _tlv(SEQUENCE, *uses, *known)),
        )
        signature = DSS.new(self._key, "fips-186-3", encoding="der").sign(SHA256.new(body))
        text = base64.encodebytes(_tlv(SEQUENCE, body, algorithm, _tlv(BITS, b"\x00" + signature))).decode()
        lines = text.replace("\n", "")
        folded = "\n".join(lines[at : at + 64] for at in range(0, len(lines), 64))
        return f"-----BEGIN CERTIFICATE-----\n{folded}\n-----END CERTIFICATE-----\n"


def _tlv(tag: int, *parts: bytes) -> bytes:
    """One value in DER: its tag, its length, what is in it."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    content = bytes([first * 40 + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | (number & 0x7F))
        content += bytes(reversed(groups))
    return _tlv(OID, content)


def _name(common: str) -> bytes:
    pair = _tlv(SEQUENCE, _oid(COMMON_NAME), _tlv(TEXT, common.encode()))
    return _tlv(SEQUENCE, _tlv(SET, pair))


def _time(at: datetime) -> bytes:
    return _tlv(UTC_TIME, at.strftime("%y%m%d%H%M%SZ").encode())


def _extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    mark = _tlv(BOOLEAN, b"\xff") if critical else b""
    return _tlv(SEQUENCE, _oid(kind), mark, _tlv(OCTETS, value))


def _identifier(key: Any) -> bytes:
    return hashlib.sha256(key.public_key().export_key(format="DER")).digest()[:20]


def _general(name: str) -> bytes:
    """An alternative name: an address or a host."""
    try:
        return _tlv(0x87, ipaddress.ip_address(name).packed)
    except ValueError:
        return _tlv(0x82, name.encode())
