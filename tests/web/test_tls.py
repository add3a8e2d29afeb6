"""TLS as tls_server_config says: real handshakes in memory, for each policy, version, suite and curve."""

import contextlib
import ssl
import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import trustme

from exporter.web.tls import CIPHERS, CLIENT_AUTH_POLICIES, CURVES, TLSError, TLSOptions, TLSSettings, build_tls
from tests.web.certificates import Certificates, encrypted, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


def settings(certificates: Certificates, **options: Any) -> TLSSettings:
    pair = (certificates.server.cert_chain_pems[0].bytes(), certificates.server.private_key_pem.bytes())
    return build_tls(TLSOptions(**{"cert": pair[0], "key": pair[1], **options}))


def client_context(certificates: Certificates, identity: trustme.LeafCert | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    certificates.ca.configure_trust(context)
    if identity is not None:
        identity.configure_cert(context)
    return context


def shake_hands(server: TLSSettings, context: ssl.SSLContext) -> ssl.SSLObject | None:
    """Return the server's side of a connection, or None where one of the two refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = context.wrap_bio(to_client, to_server, server_hostname="localhost")
    server_side = server.context.wrap_bio(to_server, to_client, server_side=True)
    done = set()
    try:
        for _ in range(10):
            for side in (client_side, server_side):
                with contextlib.suppress(ssl.SSLWantReadError):
                    side.do_handshake()
                    done.add(side)
    except ssl.SSLError:
        return None
    return server_side if len(done) == 2 else None


KNOWN, STRANGER, NONE = "client", "stranger", None
ADMITTED: list[tuple[str, bool, set[str | None]]] = [
    ("NoClientCert", False, {KNOWN, STRANGER, NONE}),
    ("RequestClientCert", False, {KNOWN, STRANGER, NONE}),
    ("RequestClientCert", True, {KNOWN, STRANGER, NONE}),
    ("RequireAnyClientCert", True, {KNOWN}),
    ("RequireAnyClientCert", False, set()),
    ("RequireClientCert", True, {KNOWN}),
    ("VerifyClientCertIfGiven", True, {KNOWN, NONE}),
    ("VerifyClientCertIfGiven", False, {NONE}),
    ("RequireAndVerifyClientCert", True, {KNOWN}),
    ("RequireAndVerifyClientCert", False, set()),
]


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
@pytest.mark.parametrize(("policy", "with_ca", "admitted"), ADMITTED)
def test_who_is_admitted(
    policy: str, with_ca: bool, admitted: set[str | None], version: str, certificates: Certificates
) -> None:
    """Each policy admits whom Go admits, or fewer: verified clients, anybody, or nobody."""
    server = settings(
        certificates,
        client_auth_type=policy,
        client_ca=certificates.ca.cert_pem.bytes() if with_ca else None,
        max_version=version,
    )
    for who in (KNOWN, STRANGER, NONE):
        context = client_context(certificates, getattr(certificates, who) if who else None)
        assert (shake_hands(server, context) is not None) == (who in admitted), who


def test_every_policy_has_a_row() -> None:
    """The table above has each policy that a file may name."""
    assert {policy for policy, _, _ in ADMITTED} == set(CLIENT_AUTH_POLICIES)


def test_only_clients_certificates_are_verified(certificates: Certificates) -> None:
    """What is not for client authentication by its extended key usage is refused, as in Go."""
    ca = certificates.ca.cert_pem.bytes()
    server = settings(certificates, client_auth_type="RequireAndVerifyClientCert", client_ca=ca)
    assert shake_hands(server, client_context(certificates, certificates.client))
    assert not shake_hands(server, client_context(certificates, certificates.only_for_servers()))


def test_a_ca_need_not_be_a_root(certificates: Certificates) -> None:
    """Whatever stands in the client CA is trusted, as in Go: here the client's own certificate, and rubbish beside it."""
    rubbish = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    own = certificates.stranger.cert_chain_pems[0].bytes()
    server = settings(certificates, client_auth_type="RequireAndVerifyClientCert", client_ca=rubbish + own)
    assert shake_hands(server, client_context(certificates, certificates.stranger))
    assert not shake_hands(server, client_context(certificates, certificates.client))


@pytest.mark.parametrize(
    "content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_a_ca_without_certificates_admits_nobody(content: bytes, certificates: Certificates) -> None:
    """A client CA that holds none is taken, as by promtool, and told of: nobody can be verified by it."""
    server = settings(certificates, client_auth_type="RequireAndVerifyClientCert", client_ca=content)
    assert not shake_hands(server, client_context(certificates, certificates.client))
    assert server.warnings == ("there is no client CA, so that no client certificate can be verified",)


VERSIONS = ["TLS10", "TLS11", "TLS12", "TLS13"]


@pytest.mark.parametrize("lowest", VERSIONS)
@pytest.mark.parametrize("highest", VERSIONS)
def test_versions(lowest: str, highest: str, certificates: Certificates) -> None:
    """A version is spoken from the lowest to the highest that the file names, and no other; none where they are crossed."""
    server = settings(certificates, min_version=lowest, max_version=highest)
    for index, version in enumerate(VERSIONS):
        spoken = VERSIONS.index(lowest) <= index <= VERSIONS.index(highest)
        assert (shake_hands(server, client_of(version, certificates)) is not None) == spoken, version
    crossed = "min_version is above max_version: nobody can connect"
    assert (crossed in server.warnings) == (VERSIONS.index(lowest) > VERSIONS.index(highest))


def client_of(version: str, certificates: Certificates) -> ssl.SSLContext:
    """Return a client of one version only; the tests' filter would make an error of Python's warning of old ones."""
    context = client_context(certificates)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        only = ssl.TLSVersion(0x0301 + VERSIONS.index(version))
        context.minimum_version = context.maximum_version = only
    return context


@pytest.mark.parametrize("name", CIPHERS)
def test_cipher_suites(name: str, certificates: Certificates) -> None:
    """Each suite that Go names can be used alone, where the certificate's key is of its kind."""
    kind = trustme.KeyType.ECDSA if "ECDSA" in name else trustme.KeyType.RSA
    server = certificates.ca.issue_cert("localhost", key_type=kind)
    options = {"cert": server.cert_chain_pems[0].bytes(), "key": server.private_key_pem.bytes()}
    alone = settings(certificates, cipher_suites=[name], max_version="TLS12", **options)
    side = shake_hands(alone, client_of("TLS12", certificates))
    assert side is not None
    cipher = side.cipher()
    assert cipher is not None
    assert cipher[0] == CIPHERS[name]


@pytest.mark.parametrize(
    ("prefer", "chosen"), [(True, "ECDHE-ECDSA-AES256-GCM-SHA384"), (False, "ECDHE-ECDSA-AES128-GCM-SHA256")]
)
def test_whose_order_of_suites_counts(prefer: bool, chosen: str, certificates: Certificates) -> None:
    """With prefer_server_cipher_suites the order in the file counts, without it the client's."""
    names = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"]
    server = settings(certificates, cipher_suites=names, prefer_server_cipher_suites=prefer)
    context = client_of("TLS12", certificates)
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    side = shake_hands(server, context)
    assert side is not None
    assert (side.cipher() or [None])[0] == chosen


@pytest.mark.parametrize("suites", [["TLS_AES_128_GCM_SHA256"], [None]])
def test_no_suite_for_older_versions(suites: list[str | None], certificates: Certificates) -> None:
    """A list without a suite of TLS 1.2 leaves TLS 1.3 alone."""
    server = settings(certificates, cipher_suites=suites)
    assert not shake_hands(server, client_of("TLS12", certificates))
    assert shake_hands(server, client_of("TLS13", certificates))


@pytest.mark.parametrize("name", CURVES)
def test_curves(name: str, certificates: Certificates) -> None:
    """The first curve named is used, and no other; that the others are not is told."""
    server = settings(certificates, curve_preferences=[name, *CURVES])
    assert [name in text for text in server.warnings] == [True]
    for other, curve in CURVES.items():
        context = client_context(certificates)
        context.set_ecdh_curve(curve)
        assert (shake_hands(server, context) is not None) == (other == name)


def test_alpn(certificates: Certificates) -> None:
    """A client that asks for HTTP/2 or HTTP/1.1 is told HTTP/1.1."""
    context = client_context(certificates)
    context.set_alpn_protocols(["h2", "http/1.1"])
    side = shake_hands(settings(certificates), context)
    assert side is not None
    assert side.selected_alpn_protocol() == "http/1.1"


ALLOWED = [
    ([], False),
    (["client.example"], True),
    (["other", "prom@example.com"], True),
    (["192.0.2.7"], True),
    (["2001:db8::1"], True),
    (["2001:db8:0:0:0:0:0:1"], False),
    (["CLIENT.example"], False),
    (["*"], False),
]


@pytest.mark.parametrize(("allowed", "admitted"), ALLOWED)
def test_allowed_names(allowed: list[str], admitted: bool, certificates: Certificates) -> None:
    """A client is admitted by a name of its certificate, written exactly as Go writes it."""
    ca = certificates.ca.cert_pem.bytes()
    server = settings(
        certificates, client_auth_type="RequireAndVerifyClientCert", client_ca=ca, client_allowed_sans=allowed
    )
    side = shake_hands(server, client_context(certificates, certificates.client))
    assert side is not None
    assert server.admits(side.getpeercert()) == admitted


@pytest.mark.parametrize(
    ("peer", "admitted"),
    [
        (None, False),
        ({}, False),
        ({"subject": ((("commonName", "spiffe://town/prom"),),)}, False),
        ({"subjectAltName": (("URI", "spiffe://town/prom"),)}, True),
        ({"subjectAltName": (("IP Address", "0:0:0:0:0:FFFF:C000:207\n"),)}, True),
        ({"subjectAltName": (("IP Address", "<invalid>"), ("DirName", "192.0.2.7"))}, False),
    ],
)
def test_names_of_other_kinds(peer: Mapping[str, Any] | None, admitted: bool, certificates: Certificates) -> None:
    """URIs and mapped addresses count as in Go; other kinds, the common name and no certificate do not."""
    names = ["spiffe://town/prom", "192.0.2.7"]
    assert settings(certificates, client_allowed_sans=names).admits(peer) == admitted
    assert settings(certificates).admits(peer)


def test_a_weak_certificate_is_told_of(certificates: Certificates) -> None:
    """A certificate that Go takes and Python's level of security does not is used, and told of: clients decide."""
    weak = certificates.weak(1024)
    cert, key = weak.cert_chain_pems[0].bytes(), weak.private_key_pem.bytes()
    server = settings(certificates, cert=cert, key=key)
    assert [text.partition(",")[0] for text in server.warnings] == ["the certificate is weak"]
    context = client_context(certificates)
    assert not shake_hands(server, context)
    context.set_ciphers("DEFAULT:@SECLEVEL=1")
    assert shake_hands(server, context)


def test_bad_pairs_say_what_to_mend(certificates: Certificates) -> None:
    """What is wrong with a certificate or key is told by its key, and nobody is asked for a password."""
    cert, key = certificates.server.cert_chain_pems[0].bytes(), certificates.server.private_key_pem.bytes()
    old_style = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"
    cases = [
        ({"cert": b""}, "cert", "there is no certificate in PEM"),
        ({"cert": key}, "cert", "there is no certificate in PEM"),
        ({"key": cert}, "key", "there is no private key in PEM"),
        ({"key": encrypted(key)}, "key", "the key is encrypted"),
        ({"key": old_style}, "key", "the key is encrypted"),
        ({"key": certificates.stranger.private_key_pem.bytes()}, "key", "this key does not belong to the certificate"),
        ({"cert": cert.replace(b"M", b"!")}, "cert", "there is no certificate in PEM"),
        ({"cert": b" " + cert}, "cert", "there is no certificate in PEM"),
        ({"cert": ssl.DER_cert_to_PEM_cert(b"junk").encode()}, "cert", "OpenSSL cannot use this certificate and key"),
    ]
    for options, part, text in cases:
        with pytest.raises(TLSError, match=text) as caught:
            settings(certificates, **options)
        assert caught.value.part == part


def test_old_versions_are_left_out_where_clients_are_verified(certificates: Certificates) -> None:
    """What OpenSSL needs for TLS 1.0 would admit client certificates with weak signatures: it is not turned on then."""
    ca = certificates.ca.cert_pem.bytes()
    made = settings(certificates, min_version="TLS10", client_auth_type="RequireAndVerifyClientCert", client_ca=ca)
    assert made.context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert made.context.security_level > 0
    assert "min_version TLS10 is applied as TLS12, as client certificates are verified" in made.warnings
    assert settings(certificates, min_version="TLS10").context.minimum_version < ssl.TLSVersion.TLSv1_2
