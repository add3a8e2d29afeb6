"""Certificates in files, as a web configuration file names them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_KEYS: Mapping[str, Callable[[], PrivateKey]] = {
    "p224.pem": lambda: ec.generate_private_key(ec.SECP224R1()),
    "p384.pem": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521.pem": lambda: ec.generate_private_key(ec.SECP521R1()),
    "rsa.pem": lambda: rsa.generate_private_key(65537, 2048),
    "ed25519.pem": ed25519.Ed25519PrivateKey.generate,
    "ed448.pem": ed448.Ed448PrivateKey.generate,
    "secp256k1.pem": lambda: ec.generate_private_key(ec.SECP256K1()),
    "brainpool.pem": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
}
"""Files with a certificate and its key, by kind."""


@dataclass(frozen=True)
class Certificates:
    """A CA, the server's certificate and key, a client's, and what else a file may hold."""

    folder: Path
    ca: trustme.CA
    server: trustme.LeafCert
    client: trustme.LeafCert
    stranger: trustme.LeafCert
    """From a CA that nobody has been told of."""

    def only_for_servers(self) -> trustme.LeafCert:
        """Return a certificate of the CA by which no client may be verified (RFC 5280, section 4.2.1.12)."""
        return self.issue(ec.generate_private_key(ec.SECP256R1()))

    def weak(self, bits: int) -> trustme.LeafCert:
        """Return a server's certificate with a short RSA key."""
        return self.issue(rsa.generate_private_key(65537, bits))

    def issue(self, key: PrivateKey) -> trustme.LeafCert:
        """Return a server's certificate of the CA for a key."""
        issuer = serialization.load_pem_private_key(self.ca.private_key_pem.bytes(), None)
        assert isinstance(issuer, ec.EllipticCurvePrivateKey)
        of_ca = x509.load_pem_x509_certificate(self.ca.cert_pem.bytes())
        builder = x509.CertificateBuilder(of_ca.subject, x509.Name([]), key.public_key(), 7)
        builder = builder.not_valid_before(of_ca.not_valid_before_utc).not_valid_after(of_ca.not_valid_after_utc)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=True)
        made = builder.sign(issuer, hashes.SHA256())
        return trustme.LeafCert(_pem_of(key), made.public_bytes(serialization.Encoding.PEM), [])

    def put(self, name: str, content: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


def make_certificates(folder: Path) -> Certificates:
    """Make them, and write the files of the server and the CA."""
    ca, other = trustme.CA(), trustme.CA(organization_name="other")
    names = ("client.example", "prom@example.com", "192.0.2.7", "2001:db8:0:0:0:0:0:1")
    server = ca.issue_cert("localhost", "127.0.0.1")
    made = Certificates(folder, ca, server, ca.issue_cert(*names), other.issue_cert(*names))
    made.put("cert.pem", made.server.cert_chain_pems[0].bytes())
    made.put("key.pem", made.server.private_key_pem.bytes())
    made.put("other-key.pem", made.stranger.private_key_pem.bytes())
    made.put("both.pem", made.server.private_key_and_cert_chain_pem.bytes())
    made.put("ca.pem", ca.cert_pem.bytes())
    made.put("text.pem", "no certificate\n")
    made.put("empty.pem", "")
    weak = made.weak(1024)
    made.put("weak.pem", weak.private_key_and_cert_chain_pem.bytes())
    for name, key in _KEYS.items():
        made.put(name, made.issue(key()).private_key_and_cert_chain_pem.bytes())
    cert = made.server.cert_chain_pems[0].bytes()
    made.put("indented.pem", b" " + cert)
    made.put("headed.pem", cert.replace(b"-----\n", b"-----\nComment: none\n\n", 1))
    made.put("beside-noise.pem", b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n" + cert)
    made.put("encrypted.pem", encrypted(made.server.private_key_pem.bytes()))
    return made


def _pem_of(key: PrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def encrypted(key: bytes) -> bytes:
    """Return a key as it is behind a password."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
