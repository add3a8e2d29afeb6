"""The TLS of the web side: what tls_server_config says, as far as Python's ssl can do it, and never more loosely."""

import base64
import binascii
import contextlib
import ipaddress
import os
import re
import ssl
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

VERSIONS: Mapping[str, ssl.TLSVersion] = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}

# The names that crypto/tls's CipherSuites() has had: https://pkg.go.dev/crypto/tls#CipherSuites
CIPHERS: Mapping[str, str] = {
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
}
"""Go's names of cipher suites of TLS up to 1.2, and OpenSSL's."""

TLS_1_3_CIPHERS = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Taken without effect, in Go as well: nobody configures those of TLS 1.3."""

CURVES: Mapping[str, str] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
"""Go's names of curves, and OpenSSL's."""


@dataclass(frozen=True, slots=True)
class ClientAuthPolicy:
    """What becomes of client certificates: whether they are asked for, and what roots there are without a client CA."""

    verify_mode: ssl.VerifyMode
    system_roots: bool = False
    warning: str | None = None


CLIENT_AUTH_POLICIES: Mapping[str, ClientAuthPolicy] = {
    "NoClientCert": ClientAuthPolicy(ssl.CERT_NONE),
    "RequestClientCert": ClientAuthPolicy(
        ssl.CERT_NONE,
        warning="RequestClientCert is applied as NoClientCert: both admit everybody, "
        "and a certificate that nobody verifies is not asked for",
    ),
    **dict.fromkeys(
        ("RequireAnyClientCert", "RequireClientCert"),
        ClientAuthPolicy(
            ssl.CERT_REQUIRED,
            warning="RequireAnyClientCert is applied as RequireAndVerifyClientCert: "
            "the certificate is verified too, by the client CA",
        ),
    ),
    "VerifyClientCertIfGiven": ClientAuthPolicy(ssl.CERT_OPTIONAL, system_roots=True),
    "RequireAndVerifyClientCert": ClientAuthPolicy(ssl.CERT_REQUIRED, system_roots=True),
}
"""As in https://pkg.go.dev/crypto/tls#ClientAuthType; without a client CA, Go verifies by the system's roots."""

_BLOCK = r"^-----BEGIN (?P<kind>%s)-----\s(?P<body>.*?)^-----END (?P=kind)-----"
_CERTIFICATE = re.compile((_BLOCK % "CERTIFICATE").encode(), re.DOTALL | re.MULTILINE)
_KEY = re.compile((_BLOCK % "(?:[A-Z0-9]+ )*PRIVATE KEY").encode(), re.DOTALL | re.MULTILINE)
_HEADERS = re.compile(rb"\A(?:[^\n:]+:[^\n]*\n)+\r?\n?")  # of a PEM block, RFC 1421; of no use here
# What crypto/tls takes, as OpenSSL takes more: RSA, Ed25519 and the curves P-224, P-256, P-384 and P-521 by their names
_KEY_KINDS = tuple(
    bytes.fromhex(encoded)
    for encoded in ("2a864886f70d010101", "2b6570", "2b81040021", "2a8648ce3d030107", "2b81040022", "2b81040023")
)
"""Object identifiers in DER, as they stand in a key."""
_REASONS: Mapping[str, tuple[str, str]] = {
    "KEY_VALUES_MISMATCH": ("key", "this key does not belong to the certificate"),
    "KEY_TYPE_MISMATCH": ("key", "this key does not belong to the certificate"),
    "EE_KEY_TOO_SMALL": ("cert", "its key is too short for OpenSSL: make an RSA key of 2048 bits or more"),
}
"""OpenSSL's reasons: the part they are about, and how to mend it."""

_WEAK = frozenset({"EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"})
"""What Python's level 2 of OpenSSL's security refuses, and Go does not."""


class TLSError(Exception):
    """TLS cannot be made of this: `part` is the key of tls_server_config (without `_file`) that is to be mended."""

    def __init__(self, part: str, text: str) -> None:
        super().__init__(text)
        self.part = part


@dataclass(frozen=True, slots=True)
class TLSOptions:
    """What TLS is made of: the keys of tls_server_config, all files read; None: the key is not there."""

    cert: bytes
    key: bytes
    client_ca: bytes | None = None
    client_auth_type: str = "NoClientCert"
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: Sequence[str | None] | None = None
    curve_preferences: Sequence[str] = ()
    prefer_server_cipher_suites: bool = True
    client_allowed_sans: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class TLSSettings:
    """What new connections are met with."""

    context: ssl.SSLContext
    client_allowed_sans: frozenset[str] | None
    """Names one of which a client's certificate has to have; None: any certificate will do."""

    warnings: tuple[str, ...]

    def admits(self, peer_certificate: Mapping[str, Any] | None) -> bool:
        """Return whether a client may come in, by the certificate that `SSLSocket.getpeercert` gives."""
        if self.client_allowed_sans is None:
            return True
        names = (peer_certificate or {}).get("subjectAltName", ())
        return any(_as_in_go(kind, name) in self.client_allowed_sans for kind, name in names)


def _as_in_go(kind: str, name: str) -> str | None:
    """Return a subject alternative name as Go writes it; None for the kinds it does not look at."""
    if kind != "IP Address":
        return name if kind in {"DNS", "email", "URI"} else None
    try:
        address = ipaddress.ip_address(name.strip())
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def build_tls(options: TLSOptions) -> TLSSettings:
    """Return the settings; raises TLSError."""
    options, told = _without_old_versions(options)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    told += [
        *_set_versions(context, options.min_version, options.max_version),
        *_set_ciphers(context, options),
        *_set_curves(context, options.curve_preferences),
        *_set_client_auth(context, options.client_auth_type, options.client_ca),
    ]
    told += _load_certificate(context, options.cert, options.key)
    allowed = options.client_allowed_sans
    return TLSSettings(context, None if allowed is None else frozenset(allowed), tuple(told))


def _without_old_versions(options: TLSOptions) -> tuple[TLSOptions, list[str]]:
    """Leave out TLS 1.0 and 1.1 where clients are verified: what OpenSSL needs for them admits signatures by MD5 and SHA-1."""
    is_old = VERSIONS[options.min_version] < ssl.TLSVersion.TLSv1_2
    if not is_old or CLIENT_AUTH_POLICIES[options.client_auth_type].verify_mode is ssl.CERT_NONE:
        return options, []
    told = f"min_version {options.min_version} is applied as TLS12, as client certificates are verified"
    return replace(options, min_version="TLS12"), [told]


@contextlib.contextmanager
def _old_versions_meant() -> Iterator[None]:
    """Keep Python from warning of TLS 1.0 and 1.1: whoever writes them in the file means them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"ssl\.TLSVersion\.TLSv1", DeprecationWarning)
        yield


def _set_versions(context: ssl.SSLContext, lowest: str, highest: str) -> Iterator[str]:
    with _old_versions_meant() if {lowest, highest} & {"TLS10", "TLS11"} else contextlib.nullcontext():
        context.minimum_version = VERSIONS[lowest]
        context.maximum_version = VERSIONS[highest]
    if VERSIONS[lowest] > VERSIONS[highest]:
        yield "min_version is above max_version: nobody can connect"


def _set_ciphers(context: ssl.SSLContext, options: TLSOptions) -> Iterator[str]:
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if options.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    old = min(VERSIONS[options.min_version], VERSIONS[options.max_version]) < ssl.TLSVersion.TLSv1_2
    names = [CIPHERS[name] for name in options.cipher_suites or () if name is not None and name in CIPHERS]
    if options.cipher_suites and not names:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        yield "cipher_suites has none for TLS 1.2 or older: only TLS 1.3 is left"
    elif names or old:
        # https://docs.openssl.org/3.0/man3/SSL_CTX_set_security_level/: TLS 1.0 and 1.1 are of level 0
        context.set_ciphers(":".join([*(names or CIPHERS.values()), *(["@SECLEVEL=0"] if old else [])]))
    if set(options.cipher_suites or ()) & set(TLS_1_3_CIPHERS):
        yield "cipher_suites names some of TLS 1.3, which are always on"


def _set_curves(context: ssl.SSLContext, curves: Sequence[str]) -> Iterator[str]:
    if not curves:
        return
    context.set_ecdh_curve(CURVES[curves[0]])
    if len(set(curves)) > 1:
        yield f"curve_preferences: only {curves[0]} is used, as Python's ssl takes one curve"


def _set_client_auth(context: ssl.SSLContext, name: str, client_ca: bytes | None) -> Iterator[str]:
    policy = CLIENT_AUTH_POLICIES[name]
    context.verify_mode = policy.verify_mode
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # Go trusts whatever stands in the file, roots or not
    if policy.warning is not None:
        yield policy.warning
    if policy.verify_mode is ssl.CERT_NONE:
        return
    if client_ca is None and policy.system_roots:
        context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
        yield f"{name} without a client CA: certificates are verified by the system's roots"
    elif not _load_roots(context, client_ca or b""):
        yield "there is no client CA, so that no client certificate can be verified"


def _load_roots(context: ssl.SSLContext, client_ca: bytes) -> int:
    """Return how many certificates could be loaded; those that cannot be read are left out, as in Go."""
    for block in _blocks(_CERTIFICATE, client_ca):
        with contextlib.suppress(ssl.SSLError):
            context.load_verify_locations(cadata=block.der)
    return context.cert_store_stats()["x509"]


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of PEM: what it says it is, what it holds, and how it was written."""

    kind: str
    der: bytes
    written: bytes

    @property
    def pem(self) -> bytes:
        """The block without headers, in lines that OpenSSL reads."""
        body = base64.encodebytes(self.der)
        return b"-----BEGIN %s-----\n%s-----END %s-----\n" % (self.kind.encode(), body, self.kind.encode())


def _blocks(pattern: re.Pattern[bytes], pem: bytes) -> Iterator[_Block]:
    """Yield the blocks of a kind; one that is no base64 is passed over (https://pkg.go.dev/encoding/pem#Decode)."""
    for found in pattern.finditer(pem):
        body = _HEADERS.sub(b"", found["body"])
        with contextlib.suppress(binascii.Error):
            yield _Block(found["kind"].decode(), base64.b64decode(b"".join(body.split()), validate=True), found[0])


def _load_certificate(context: ssl.SSLContext, cert: bytes, key: bytes) -> list[str]:
    """Load what Go would: the certificates of one file, the first key of the other, and none that is encrypted."""
    certificates, found = [block.pem for block in _blocks(_CERTIFICATE, cert)], next(_blocks(_KEY, key), None)
    if not certificates:
        raise TLSError("cert", "there is no certificate in PEM")
    if found is None:
        raise TLSError("key", "there is no private key in PEM")
    if b"ENCRYPTED" in found.written:
        raise TLSError("key", "the key is encrypted: write it out with `openssl pkey`")
    if found.kind != "RSA PRIVATE KEY" and not any(kind in found.der for kind in _KEY_KINDS):
        raise TLSError("key", "not RSA, Ed25519 or a key on P-224, P-256, P-384 or P-521 by name: make one that is")
    try:
        with _as_file(b"".join(certificates)) as cert_file, _as_file(found.pem) as key_file:
            return _load_files(context, cert_file, key_file)
    except (OSError, AttributeError) as error:
        raise TLSError(
            "key", f"cannot be handed to OpenSSL, which takes a file in memory and /proc: {error}"
        ) from error


def _load_files(context: ssl.SSLContext, cert_file: str, key_file: str) -> list[str]:
    """Load a certificate and its key; where Python's level of security refuses it, by the one that OpenSSL itself has."""
    reason, told = _refusal(context, cert_file, key_file), []
    if reason in _WEAK:
        names = [cipher["name"] for cipher in context.get_ciphers()]
        context.set_ciphers(":".join([*names, "@SECLEVEL=1"]))
        reason = _refusal(context, cert_file, key_file)
        told = ["the certificate is weak, by its RSA key under 2048 bits or its signature: clients may refuse it"]
    if reason is not None:
        raise TLSError(*_REASONS.get(reason, ("cert", f"OpenSSL cannot use this certificate and key ({reason})")))
    return told


def _refusal(context: ssl.SSLContext, cert_file: str, key_file: str) -> str | None:
    """Return why OpenSSL does not load these, or None where it has."""
    try:
        context.load_cert_chain(cert_file, key_file, password=lambda: b"")  # never asks on a terminal
    except ssl.SSLError as error:
        return error.reason or "not valid PEM"
    return None


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """Give a name that OpenSSL can open to what is in memory: a key that came inline is never on a disk."""
    with os.fdopen(os.memfd_create("pem"), "wb") as file:
        file.write(content + b"\n")
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
