"""The web configuration file: promtool and we agree on what is good, and each mistake is told with its place."""

import os
import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from exporter.configuration.errors import ConfigError
from exporter.web.web_config import BrokenWebConfigError, load_web_config
from tests.conftest import need
from tests.web.certificates import Certificates, make_certificates

HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"  # of exporter-toolkit's documentation
TAIL = HASH.removeprefix("$2y$10$")
PAIR = "cert_file: cert.pem, key_file: key.pem"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("web"))


def tls(keys: str) -> str:
    return f"tls_server_config: {{{keys}}}"


def http(keys: str) -> str:
    return f"http_server_config: {{{keys}}}"


def header(value: str, name: str = "X-XSS-Protection") -> str:
    return http(f"headers: {{{name}: {value}}}")


def user(hashed: str, name: str = "alice") -> str:
    return f'basic_auth_users: {{{name}: "{hashed}"}}'


GOOD = [
    *(
        "",
        "# nothing",
        "null",
        "{}",
        "---\n",
        "--- \n---\nfoo: 1",
        "{}\n...\nfoo",
        "{} foo",
        "{}}",
        "{}\n---\n: : bar: [}",
    ),
    *("\ufeff{}", "%YAML 1.1\n---\n{}", "!!set {}", "{http_server_config}", "{http_server_config: ,}"),
    *("? http_server_config\n: {http2: true}", '"http_server_config": {http2: true}', "basic_auth_users:"),
    *("http_server_config: null", "http_server_config: !foo {http2: true}", "<<: {http_server_config: {http2: yes}}"),
    # scalars where a boolean is wanted
    *(
        http(f"http2: {word}")
        for word in ["true", "True", "FALSE", "yes", "on", "ON", "off", "y", "Y", "n", "null", "~", ""]
    ),
    *(http('http2: !!bool "true"'), http("http2:\ttrue"), "http_server_config:\n  http2:\ttrue", http("http2: true,")),
    # scalars where a text is wanted
    *(
        header(text)
        for text in ["1", "1.5", "true", "2020-01-01", "0x1f", "null", "''", '"a\\nb"', "!foo x", "é", "!!int 1"]
    ),
    *(
        header('!!int "1"'),
        header("!!float 1"),
        header("!!binary ZGVueQ==", "X-Frame-Options"),
        header("!!python/object 1"),
    ),
    *(
        header("deny", "X-Frame-Options"),
        header("sameorigin", "X-Frame-Options"),
        header("nosniff", "X-Content-Type-Options"),
    ),
    *(header("max-age=1", "Strict-Transport-Security"), header("default-src 'self'", "Content-Security-Policy")),
    *(http("headers: null"), header("'a?b'"), "http_server_config:\n  headers:\n    X-XSS-Protection: a?b"),
    # merges
    http("<<: {http2: true}, http2: false"),
    http("http2: true, <<: {http2: false}"),
    http("<<: {http2: true}, <<: {http2: false}"),
    http('!!merge "<<": {http2: true}'),
    http("headers: {<<: [{X-Frame-Options: deny}, {X-XSS-Protection: 1}]}"),
    f"basic_auth_users: &users\n  alice: {HASH}\n  bob: &hash {HASH}\n  carol: *hash",
    # users
    user(HASH),
    user(HASH + "xx"),
    user(HASH[:-1]),
    *(user(f"{start}{TAIL}") for start in ["$2z$10$", "$2a$31$", "$2$10$", "$1y$10$", "$2y$+5$", "$2y$10x", "$2b$04$"]),
    user(f"$2y$10$!!!!{TAIL[4:]}"),
    *(user(HASH, name) for name in ["1", "true", "null", "'a:b'", "ü"]),
    # TLS
    tls(PAIR),
    *(tls(f"cert_file: {file}, key_file: {file}") for file in ["both.pem", "weak.pem", "rsa.pem", "ed25519.pem"]),
    *(tls(f"cert_file: {file}, key_file: {file}") for file in ["p224.pem", "p384.pem", "p521.pem"]),
    *(tls(f"cert_file: {file}, key_file: key.pem") for file in ["headed.pem", "beside-noise.pem"]),
    *(tls(keys) for keys in ["", "cert_file: '', key_file: ''", "client_auth_type: ''", "min_version: TLS12"]),
    *(tls(f"min_version: {version}") for version in ["TLS10", "TLS11", "TLS12", "TLS13", "null"]),
    *(tls(f"{PAIR}, {keys}") for keys in ["client_auth_type: NoClientCert", "client_auth_type: null"]),
    *(
        tls(f"{PAIR}, client_auth_type: {policy}")
        for policy in ["RequestClientCert", "RequireAnyClientCert", "RequireClientCert", "VerifyClientCertIfGiven"]
    ),
    tls(f"{PAIR}, client_auth_type: RequireAndVerifyClientCert"),
    *(
        tls(f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_ca_file: {file}")
        for file in ["ca.pem", "text.pem", "empty.pem", "key.pem", "both.pem"]
    ),
    tls(f"{PAIR}, client_auth_type: RequestClientCert, client_ca_file: ca.pem"),
    tls(f"{PAIR}, min_version: TLS13, max_version: TLS12"),
    tls(f"{PAIR}, min_version: TLS10, max_version: TLS11"),
    *(tls(f"{PAIR}, cipher_suites: {suites}") for suites in ["[]", "null", "[null]", "[TLS_AES_128_GCM_SHA256]"]),
    tls(f"{PAIR}, cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_RSA_WITH_AES_256_GCM_SHA384]"),
    tls("cipher_suites: [TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256]"),
    *(tls(f"{PAIR}, curve_preferences: {names}") for names in ["[X25519, X25519]", "[CurveP256, CurveP384]", "[null]"]),
    tls(f"{PAIR}, prefer_server_cipher_suites: no"),
    tls("prefer_server_cipher_suites: no"),
]

BAD = [
    *("foo:", "{foo}", "http_server_config: {http3: null}", "tls_server_config: {cert: , foo: ~}"),
    *("[]", "a", "foo: 1", "'': 1", "1: 2", "HTTP_server_config: {}", "\0", "%YAML 1.2\n---\n{}", "%FOO bar\n---\n{}"),
    *(
        "http_server_config: ''",
        "http_server_config: []",
        "http_server_config: *x",
        "http_server_config: &x {headers: *x}",
    ),
    *("http_server_config:\n\thttp2: true", "http_server_config: {", "a: &x [*x]", "basic_auth_users: []"),
    *(
        http(f"http2: {word}")
        for word in ["1", '"true"', "tRue", "maybe", "!foo true", "!!str true", "[]", "{}", "1.0"]
    ),
    *(http(keys) for keys in ["http3: true", "http2: true, http2: true", "? [x] : y", "headers: []", "headers: x"]),
    *(header(text) for text in ["[1]", "{a: b}", "!!int deny", '!!binary "?"', "!!null x", "!!bool x"]),
    *(header("a?b"), http("headers: {X-XSS-Protection?: a}")),
    *(header("null", "X-Frame-Options"), header("Deny", "X-Frame-Options"), header("x", "X-Content-Type-Options")),
    *(header("1", "x-xss-protection"), header("1", "Server"), header("1, X-XSS-Protection: 1")),
    *(http(keys) for keys in ["<<: {http3: true}", "<<: a", "<<: null", "<<: [null]", '"<<": {http2: true}']),
    http("headers: {X-Frame-Options: deny, <<: {X-Frame-Options: deny}}"),
    http("!!merge a: {http2: true}"),
    http("headers: {<<: {X-Frame-Options: deny}, X-Frame-Options: deny}"),
    *(user(text) for text in ["", "b", HASH[:-2], f"2a{HASH}", f"$3y$10${TAIL}", f"$2$10${TAIL[:-1]}"]),
    *(user(f"$2y${cost}${TAIL}") for cost in ["99", "03", "32", "1_", "-5", "x1"]),
    f'basic_auth_users: {{a: "{HASH}", "a": "{HASH}"}}',
    f'basic_auth_users: {{1: "{HASH}", "1": "{HASH}"}}',
    f'basic_auth_users: {{null: "{HASH}", ~: "{HASH}"}}',
    f'basic_auth_users: {{[a]: "{HASH}"}}',
    *(
        tls(keys)
        for keys in ["cert_file: cert.pem", "key_file: key.pem", "client_ca_file: ca.pem", "client_auth_type: x"]
    ),
    *(
        tls(keys)
        for keys in ["client_auth_type: NoClientCert", "min_version: 12", "min_version: ''", "min_version: SSL30"]
    ),
    *(tls(f"max_version: {version}") for version in ["TLS14", "tls12", "[TLS12]"]),
    tls("cert_file: cert.pem, key_file: other-key.pem"),
    *(tls(f"cert_file: {file}, key_file: {file}") for file in ["ed448.pem", "secp256k1.pem", "brainpool.pem"]),
    tls("cert_file: indented.pem, key_file: key.pem"),
    *(tls(f"cert_file: cert.pem, key_file: {file}") for file in ["cert.pem", "encrypted.pem", "text.pem", "empty.pem"]),
    *(tls(f"cert_file: cert.pem, key_file: {file}") for file in ["nothing-here", ".", "[key.pem]"]),
    *(tls(f"cert_file: {file}, key_file: key.pem") for file in ["key.pem", "text.pem", "empty.pem", "nothing-here"]),
    tls(f"{PAIR}, client_ca_file: ca.pem"),
    tls(f"{PAIR}, client_ca_file: ca.pem, client_auth_type: NoClientCert"),
    tls(f"{PAIR}, client_ca_file: nothing-here, client_auth_type: RequireAnyClientCert"),
    *(tls(f"{PAIR}, client_auth_type: {name}") for name in ["requireanyclientcert", "1", "[RequireClientCert]", "}"]),
    *(
        tls(f"cipher_suites: {suites}")
        for suites in ["TLS_AES_128_GCM_SHA256", "[foo]", "['']", "[TLS_RSA_WITH_RC4_128_SHA]"]
    ),
    tls("cipher_suites: [TLS_RSA_WITH_3DES_EDE_CBC_SHA]"),
    *(tls(f"curve_preferences: {names}") for names in ["X25519", "[P256]", "[X25519MLKEM768]", "['']"]),
    tls("prefer_server_cipher_suites: 1"),
    *(tls(f"{key}: {{}}") for key in ["cipher_suites", "curve_preferences", "cert_file", "min_version"]),
    *("basic_auth_users: x", "basic_auth_users: {alice: [x]}", "basic_auth_users: {alice: null}"),
]

SANS = f"{PAIR}, client_auth_type: RequireAndVerifyClientCert, client_allowed_sans: "
NEWER_GOOD = [
    *(
        f"rate_limit: {{{keys}}}"
        for keys in ["", "interval: 1s", "interval: 0, burst: 5", "interval: 1m1.5s, burst: 0x1f"]
    ),
    *(f"rate_limit: {{{keys}}}" for keys in ["interval: '500ms'", "interval: -1s", "interval: 1_000, burst: 1.9"]),
    *(tls(f"{SANS}{names}") for names in ["[client.example]", "[]", "null", "[null]", "[1]"]),
    tls(f"{PAIR}, client_auth_type: RequireAnyClientCert, client_allowed_sans: [a]"),
    tls("client_ca: '', key: ''"),
    "tls_server_config:\n  cert: |-\n    @cert.pem\n  key: |\n    @key.pem",
    "tls_server_config:\n  cert_file: cert.pem\n  cert: x\n  key: |-\n    @key.pem",
    f"tls_server_config:\n  <<: {{{PAIR}}}\n  client_auth_type: RequireAnyClientCert\n  client_ca: |-\n    @ca.pem",
]
NEWER_BAD = [
    *(f"rate_limit: {{{keys}}}" for keys in ["interval: 1x", "interval: s", "burst: '1'", "burst: a"]),
    *(
        f"rate_limit: {{{keys}}}"
        for keys in ["burst: 1e30", "burst: .inf", "burst: 9223372036854775808", "interval: [1s]", "rate: 1"]
    ),
    tls(f"{PAIR}, client_allowed_sans: [a]"),
    tls(f"{PAIR}, client_auth_type: VerifyClientCertIfGiven, client_allowed_sans: []"),
    tls(f"{PAIR}, client_auth_type: RequireClientCert, client_allowed_sans: a"),
    *(tls(f"{PAIR}, client_ca: x"), tls(f"{SANS}{{}}"), tls("cert: [x]"), "rate_limit: []"),
    *(tls(keys) for keys in ["cert: x", "key: x", "client_ca: x", "cert: x, key: x", "cert_file: cert.pem, key: x"]),
]


def written(certificates: Certificates, text: str, name: str = "web.yml") -> Path:
    """Write a web configuration file; `@` and a name stand for a file's content, below its key."""

    def content(found: re.Match[str]) -> str:
        return textwrap.indent((certificates.folder / found[1]).read_text().rstrip(), "    ").lstrip()

    return certificates.put(name, re.sub(r"@([a-z.-]+\.pem)", content, text))


def ours(file: Path) -> str:
    """Return what we have against a file, or nothing."""
    try:
        load_web_config(file)
    except ConfigError as error:
        return str(error)
    return ""


Promtool = Callable[[str], str]


@pytest.fixture(scope="module")
def promtool(certificates: Certificates) -> Promtool:
    """Return what tells what promtool says of a text: it is asked once, for all of them."""
    texts = [*GOOD, *BAD, *NEWER_GOOD, *NEWER_BAD]
    files = {text: written(certificates, text, f"{number}.yml") for number, text in enumerate(texts)}
    command: list[str | Path] = [need("promtool", "install Prometheus"), "check", "web-config", *files.values()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    said = re.split(
        rf"^{re.escape(str(certificates.folder))}/(?=[0-9]+\.yml )", done.stdout + done.stderr, flags=re.MULTILINE
    )
    by_file = dict(each.split(" ", 1) for each in said if each)
    return lambda text: by_file[files[text].name]


@pytest.mark.parametrize("text", GOOD)
def test_good_as_promtool_says(text: str, certificates: Certificates, promtool: Promtool) -> None:
    """What promtool takes is taken."""
    assert promtool(text) == "SUCCESS\n"
    assert ours(written(certificates, text)) == ""


@pytest.mark.parametrize("text", BAD)
def test_bad_as_promtool_says(text: str, certificates: Certificates, promtool: Promtool) -> None:
    """What promtool refuses is refused, with the file's name."""
    assert promtool(text).startswith("FAILED: ")
    file = written(certificates, text)
    assert ours(file).startswith(f"{file}:")


@pytest.mark.parametrize("text", NEWER_GOOD)
def test_newer_keys_are_taken(text: str, certificates: Certificates, promtool: Promtool) -> None:
    """Keys that exporter-toolkit has learned since the promtool of the tests are taken; that one does not know them."""
    assert re.search(r"field \w+ not found", promtool(text))
    assert ours(written(certificates, text)) == ""


@pytest.mark.parametrize("text", NEWER_BAD)
def test_newer_keys_are_checked(text: str, certificates: Certificates, promtool: Promtool) -> None:
    """Where today's exporter-toolkit refuses a newer key, so do we."""
    assert re.search(r"field \w+ not found", promtool(text))
    file = written(certificates, text)
    assert ours(file).startswith(f"{file}:")


MISTAKES = [
    (http("http3: yes"), '1:22: http_server_config.http3: unknown key: did you mean "http2"?'),
    (header("1", "x-xss-protection"), "1:32: http_server_config.headers.x-xss-protection: unknown key: did you mean"),
    (http("http2: 1"), "1:29: http_server_config.http2: this is not true or false, without quotes"),
    (user("secret"), "1:27: basic_auth_users.alice: not a bcrypt hash: write what `htpasswd -nBC 10 ''` prints"),
    (f"basic_auth_users: alice:{HASH}", "1:19: basic_auth_users: this is not a mapping of keys"),
    (user(f"$2y$99${TAIL}"), "1:27: basic_auth_users.alice: the cost of a bcrypt hash is from 4 to 31, not 99"),
    (tls("cert_file: cert.pem"), "1:20: tls_server_config: key_file is missing: TLS takes a certificate and its key"),
    (tls("min_version: TLS1"), '1:34: tls_server_config.min_version: "TLS1" is none of TLS10, TLS11, TLS12, TLS13'),
    (
        tls("cipher_suites: [x]"),
        '1:37: tls_server_config.cipher_suites[0]: "x" is none of TLS_RSA_WITH_AES_128_CBC_SHA,',
    ),
    (
        tls("cert_file: cert.pem, key_file: other-key.pem"),
        "1:52: tls_server_config.key_file: this key does not belong to the certificate",
    ),
    (
        tls("cert_file: cert.pem, key_file: encrypted.pem"),
        "1:52: tls_server_config.key_file: the key is encrypted: write it out with `openssl pkey`",
    ),
    (
        tls("cert_file: text.pem, key_file: key.pem"),
        "1:32: tls_server_config.cert_file: there is no certificate in PEM",
    ),
    (http("<<: 1"), "1:26: not YAML: << wants a mapping, or a list of mappings"),
    ("a: " + "[" * 100, "1:35: not YAML: nested too deeply"),
    ("- " * 100, "1:65: not YAML: nested too deeply"),
    ("rate_limit: {burst: a, interval: b}", "1:21: rate_limit.burst: this is not a whole number"),
]


@pytest.mark.parametrize(("text", "mistake"), MISTAKES)
def test_mistakes_are_told_with_their_place(text: str, mistake: str, certificates: Certificates) -> None:
    """A mistake is told with file, line, column and key, and how to mend it; what may be secret is not shown."""
    file = written(certificates, text)
    told = ours(file)
    assert told.startswith(f"{file}:{mistake}")
    assert HASH not in told
    assert "secret" not in told


def test_every_mistake_at_once(certificates: Certificates) -> None:
    """All mistakes of a section come at once, those of its files too."""
    keys = "cert_file: nothing-here, key_file: ., client_auth_type: NoClientCert, client_ca_file: gone, client_allowed_sans: []"
    told = ours(written(certificates, tls(keys))).splitlines()
    assert [re.sub(r"^\S+ |: .*", "", line) for line in told] == [
        "tls_server_config.cert_file",
        "tls_server_config.key_file",
        "tls_server_config.client_ca_file",
        "tls_server_config.client_ca_file",
        "tls_server_config.client_allowed_sans",
    ]


@pytest.mark.parametrize("name", ["huge", "pipe", "folder", "nothing"])
def test_files_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    """A file without end, a pipe or a folder is a mistake, and costs neither memory nor time."""
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(1 << 40)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    file = tmp_path / name
    assert ours(file).startswith(f"{file}: ")
    (tmp_path / "web.yml").write_text(tls(f"cert_file: {name}, key_file: {name}"))
    assert f"{file}: " in ours(tmp_path / "web.yml")


def test_aliases_do_not_grow_beyond_memory(tmp_path: Path) -> None:
    """Aliases of aliases, of which a small file could make billions of values, are refused."""
    lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    (tmp_path / "web.yml").write_text("\n".join(["a0: &a0 [x]", *lines]))
    assert "an alias makes the document endless" in ours(tmp_path / "web.yml")


def test_what_a_file_means(certificates: Certificates) -> None:
    """Headers, users and the limit come out as they are meant; the files are named, what is stricter or void is told."""
    text = (
        f"""
        tls_server_config: {{{PAIR}, client_auth_type: RequireAnyClientCert, client_ca_file: ca.pem}}
        http_server_config:
          http2: true
          headers: {{X-XSS-Protection: " 1;\r\n mode\0=block", X-Frame-Options: deny, Strict-Transport-Security: ''}}
        basic_auth_users: {{alice: {HASH}, 7: "$2y$10$!!!!{TAIL[4:]}"}}
        rate_limit: {{interval: 1m30.5s, burst: 010}}
    """.replace("\r", "\\r")
        .replace("\n mode", "\\n mode")
        .replace("\0", "\\0")
    )
    config = load_web_config(written(certificates, textwrap.dedent(text)))
    assert config.headers == {"X-XSS-Protection": "1;   mode =block", "X-Frame-Options": "deny"}
    assert {name: found.text for name, found in config.users.items()}["alice"] == HASH
    assert list(config.users) == ["alice", "7"]
    assert (config.rate_limit.interval, config.rate_limit.burst) == (90.5, 8)
    assert {path.name for path in config.files} == {"web.yml", "cert.pem", "key.pem", "ca.pem"}
    assert [text.partition(" ")[0] for text in config.warnings] == ["RequireAnyClientCert", "http2", "no"]
    assert HASH not in repr(config)


def test_broken_files_name_what_to_watch(certificates: Certificates) -> None:
    """A mistake carries the files it may be mended in, also those that are not there yet."""
    with pytest.raises(BrokenWebConfigError) as caught:
        load_web_config(written(certificates, tls("cert_file: cert.pem, key_file: nothing-here")))
    assert {path.name: found is None for path, found in caught.value.stamps.items()} == {
        "web.yml": False,
        "cert.pem": False,
        "nothing-here": True,
    }


def test_the_example_of_the_page_is_good(certificates: Certificates) -> None:
    """The example of the documentation is taken, and nothing in it has to be warned of."""
    page = Path(__file__).parents[2].joinpath("docs", "web-configuration.md").read_text()
    [example] = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    config = load_web_config(written(certificates, example))
    assert config.tls is not None
    assert config.warnings == ()
