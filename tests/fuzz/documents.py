"""Good documents of each kind, and words that parsers of their kind have stumbled over."""

import json
import re
from pathlib import Path

from tests.fuzz.mutations import Documents

_EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
_DEEP, _LONG = 100_000, 5_000
_HASH = "$2y$10$X0h1gDsPszWURQaxFh.zoubFi6DXncSjhoQNJgRrnGs7EsimhC7zG"  # of exporter-toolkit's documentation

# As the documentation of Cognito and one capture have them.
_EVENT = {
    "EventId": "768d375c-0000-4000-8000-000000000000",
    "EventType": "SignIn",
    "CreationDate": 1.723136049929e9,
    "EventResponse": "Pass",
    "EventRisk": {"RiskDecision": "AccountTakeover", "RiskLevel": "Low", "CompromisedCredentialsDetected": False},
    "ChallengeResponses": [{"ChallengeName": "Password", "ChallengeResponse": "Success"}],
    "EventContextData": {
        "IpAddress": "192.0.2.99",
        "DeviceName": "Chrome 126, Windows 10",
        "Timezone": "-07:00",
        "City": "Loughborough",
        "Country": "United Kingdom",
    },
    "EventFeedback": {"FeedbackValue": "Valid", "Provider": "Admin", "FeedbackDate": 1.723139649e9},
}
_IN_PROGRESS = {"EventId": "e-2", "EventType": "SignUp", "CreationDate": 1777636000, "EventResponse": "InProgress"}
_BLOCKED = {
    "EventId": "e-3",
    "EventType": "ForgotPassword",
    "CreationDate": 1777636500.25,
    "EventResponse": "Fail",
    "EventRisk": {"RiskDecision": "Block", "CompromisedCredentialsDetected": True},
    "ChallengeResponses": [{"ChallengeName": "Mfa", "ChallengeResponse": "Failure"}],
    "EventContextData": {"City": "null", "Country": "unknown"},
}
_USER = {"Username": "bob", "Enabled": True, "UserCreateDate": 1.6e9, "UserStatus": "CONFIRMED", "Attributes": []}
_POOL = {"Id": "eu-west-1_Ab129faBb", "UserPoolAddOns": {"AdvancedSecurityMode": "AUDIT"}, "EstimatedNumberOfUsers": 7}
_MESSAGE = "User alice@example.com from 192.0.2.99 may not"


def _json(*documents: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(document).encode() for document in documents)


_JSON_TOKENS = (
    *(b"null", b"true", b"[]", b"{}", b'""', b"0", b"-1", b"-0.0", b"1e999", b"-1e999", b"NaN", b"Infinity", b"1e-400"),
    *(b"9" * 400, b"9" * _LONG, b"1777636000123", b"253402300800", b"-62135596801", b"1" * 19, b"1.5e9.2", b"0x10"),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"a\\nb"', b'"\\""', b'"\xed\xa0\x80"', b"\xff\xfe", b"\x00"),
    *(b'"%s"' % (b"x" * _LONG), '"\u202e\u0085\u2028 ÄÖ𝔘🜁"'.encode(), b'"InProgress"', b'"2026-05-01T11:55:00+99:99"'),
    *(b'"Infinity"', b'"1e999"', b'"__proto__"', b"[" * _DEEP + b"]" * _DEEP, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP),
    *(b",", b":", b"]", b"}", b'"', b"\\", b"/**/", b"\xef\xbb\xbf"),
)
_JSON_WORD = re.compile(rb'"(?:[^"\\]|\\.)*"|[-\d][-+.\deE]*|true|false|null')

ANSWERS = Documents(
    good=_json(
        {"AuthEvents": [_EVENT, _IN_PROGRESS, _BLOCKED], "NextToken": "e-3#2026-04-30T00:00:00Z"},
        {"AuthEvents": [_IN_PROGRESS, _EVENT]},
        {"AuthEvents": []},
        {"Users": [_USER, {"Username": "Zoë"}], "PaginationToken": "t"},
        {"UserPool": _POOL},
    ),
    word=_JSON_WORD,
    tokens=_JSON_TOKENS,
)
REFUSALS = Documents(
    good=_json(
        *(
            {"__type": f"{prefix}{code}", "message": _MESSAGE}
            for prefix in ("", "com.amazonaws.cognito#")
            for code in ("UserNotFoundException", "TooManyRequestsException", "NotAuthorizedException", "Odd")
        ),
        {"__type": "AccessDeniedException", "Message": "\u202e\x1b[2J not\nauthorized \x00"},
        {"code": 7, "Error": {"Code": "AccessDenied", "Message": _MESSAGE}},
    ),
    word=_JSON_WORD,
    tokens=_JSON_TOKENS,
)


def _bomb(link: bytes, levels: int = 40) -> bytes:
    """Return mappings of which each holds the one before it several times."""
    lines = [
        b"l0: &l0 {x: 1}",
        *(b"l%d: &l%d %s" % (n, n, link.replace(b"$", b"*l%d" % (n - 1))) for n in range(1, levels)),
    ]
    return b"\n".join(lines) + b"\n"


BOMBS = {
    "list": _bomb(b"[$, $]"),
    "mapping": _bomb(b"{a: $, b: $}"),
    "one key": _bomb(b"{a: $, a: $}"),
    "key": _bomb(b"{? [$, $] : 1}"),
    "merge": _bomb(b"{<<: [$, $]}"),
    "two merges": _bomb(b"{<<: $, <<: $}"),
    "merge of one key": _bomb(b"{a: $, a: $, <<: $}"),
    "endless": b"a: &a [*a]\n",
    "endless merge": b"a: &a {<<: *a}\n",
    "endless key": b"? &a [*a]\n: 1\n",
    "deep list": b"[" * _DEEP + b"]" * _DEEP,
    "deep lines": b"- " * _DEEP,
    "deep mapping": b"{a: " * _DEEP,
    "deep key": b"? " * _DEEP,
    "big number": b"a: 0x" + b"f" * _LONG,
    "sexagesimal": b"a: 1" + b":1" * _LONG,
}
"""YAML that is small, and that some readers of it make large."""

_YAML_TOKENS = (
    *(b"null", b"~", b"true", b"yes", b"[]", b"{}", b"''", b"0", b"-1", b"1.5", b".inf", b"-.INF", b".nan", b"1e999"),
    *(
        b"0x" + b"f" * _LONG,
        b"9" * _LONG,
        b"0o17",
        b"0b11",
        b"1_000",
        b"1:30",
        b"190:20:30",
        b"=",
        b"<<",
        b"2026-02-30",
    ),
    *(b"99999999999d", b"0s", b"1h30m", b"-5m", b"2026-13-45T00:00:00Z", b"9999-12-31T23:59:59-14:00", b"0001-01-01"),
    *(b"!!python/object/apply:os.system [ls]", b"!!binary Zm9v", b"!!binary \xff", b"!!set {a}", b"!!omap [a: 1]"),
    *(
        b"!!timestamp 2026-02-30",
        b"!!int x",
        b"!!float ''",
        b"!!bool x",
        b"!!null x",
        b"!foo x",
        b"!!str",
        b"!<tag:x> y",
    ),
    *(
        b"&a [*a]",
        b"&a",
        b"*a",
        b"*b",
        b"<<: *a",
        b"<<: [1]",
        b"<<: {all: true}",
        b"? [a, b]\n: 1\n",
        b"? {a: 1}\n: 1\n",
    ),
    *(b"|\n  a\n", b">-\n a", b'"\\ud800"', b'"\\0"', b'"\\x41\\u0085"', b"\x00", b"\x1b[2J", b"\xff", b"\xef\xbb\xbf"),
    *(
        "\u202e\u2028\u0085 ÄÖ𝔘🜁".encode(),
        b"x" * _LONG,
        b"\t",
        b"\r",
        b"\n---\n",
        b"\n...\n",
        b"%YAML 1.2\n---\n",
        b"#",
        b"- ",
        b"? ",
    ),
    *(
        b"[" * 500,
        b"{a: " * 500,
        b"- " * 500,
        b":",
        b": ",
        b",",
        b"'",
        b'"',
        b"@",
        b"`",
        b"%",
        b"/dev/zero",
        b"/",
        b".",
    ),
    *(BOMBS["one key"], BOMBS["merge"], BOMBS["two merges"]),
)
_YAML_WORD = re.compile(rb"[^\s:,\[\]{}]+")

CONFIGS = Documents(
    good=(
        _EXAMPLE.read_bytes(),
        b"user_pools:\n  - {id: eu-west-1_Ab1, users: {all: true}}\n",
        b"""user_pools:
  - id: eu-west-1_Ab129faBb
    name: customers
    endpoint_url: https://cognito-idp-fips.us-gov-west-1.amazonaws.com
    credentials: &keys {profile: security, role_arn: "arn:aws:iam::111122223333:role/team/reader", external_id: x1}
    users:
      usernames: [alice, bob@example.com, "+4412345"]
      files: [break-glass.txt]
      groups: [administrators]
      filters: ['status = "Enabled"', 'username ^= "svc-"']
      exclude: [load-test]
  - {id: us-east-1_x, users: {all: true}, credentials: {<<: *keys, profile: other}}
polling: {requests_per_second: 0.5, max_staleness: 1h30m, min_interval: 90s, discovery_interval: 2d}
counting: {start: 24h, settle: 15m}
state: {path: ":memory:"}
metrics: {country: none, per_user: hashed, series_hold: 0s, hash_key_file: key}
event_log: {path: "-", personal_data: plain}
""",
    ),
    word=_YAML_WORD,
    tokens=_YAML_TOKENS,
)
WEB_CONFIGS = Documents(
    good=(
        b"""tls_server_config:
  cert_file: cert.pem
  key_file: key.pem
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.pem
  min_version: TLS12
  client_allowed_sans: [a.example.com]
""",
        b"""tls_server_config: {cert_file: cert.pem, key_file: key.pem, cipher_suites: [TLS_AES_128_GCM_SHA256],
  curve_preferences: [X25519], prefer_server_cipher_suites: true, max_version: TLS13}
""",
        b"""http_server_config:
  http2: true
  headers:
    X-Frame-Options: deny
    Content-Security-Policy: "x 'y'"
    Strict-Transport-Security: max-age=31536000
rate_limit: {interval: 1s, burst: 5}
""",
        b"basic_auth_users:\n  alice: %s\n  bob: '%s'\n" % (_HASH.encode(), _HASH.encode()),
    ),
    word=_YAML_WORD,
    tokens=_YAML_TOKENS,
)


def _request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join((line, b"Host: localhost", *headers, b"", body))


REQUESTS = Documents(
    good=(
        _request(b"GET /metrics HTTP/1.1", b"Accept: application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1"),
        _request(b"GET /metrics?name[]=up&name[]=x HTTP/1.1", b"Accept-Encoding: gzip;q=0.3, zstd, identity;q=0"),
        _request(b"HEAD / HTTP/1.0", b"Connection: keep-alive"),
        _request(b"GET /api/v1/status HTTP/1.1", b"Authorization: Basic YWxpY2U6c2VjcmV0", b"Connection: close"),
        _request(b"POST /-/reload HTTP/1.1", b"Content-Length: 3", body=b"abc"),
        _request(b"PUT /-/reload HTTP/1.1", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n"),
        _request(b"GET /-/ready HTTP/1.1", b"Expect: 100-continue") + _request(b"GET /-/healthy HTTP/1.1"),
        _request(b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
    ),
    word=re.compile(rb"[^\s:,;=/]+"),
    tokens=(
        *(
            b"GET",
            b"POST",
            b"HEAD",
            b"OPTIONS",
            b"CONNECT",
            b"TRACE",
            b"PRI",
            b"get",
            b"",
            b" ",
            b"\t",
            b"\x00",
            b"\xff",
            b"\r\n",
        ),
        *(
            b"\n",
            b"\r",
            b"\r\n\r\n",
            b"\r\n ",
            b"HTTP/1.1",
            b"HTTP/9.9",
            b"HTTP/2.0",
            b"HTTP/1.",
            b"http://x/metrics",
            b"*",
        ),
        *(
            b"%00",
            b"%FF",
            b"%2e%2e",
            b"..",
            b"//",
            b"?",
            b"#",
            b"?name[]=" + b"%41" * 500,
            b"&" * _LONG,
            b"name[]=\xff",
        ),
        *(b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 1\r\nContent-Length: 2"),
        *(
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding: gzip, chunked",
            b"ffffffffffffffff\r\n",
            b"-1\r\n",
            b"0\r\n\r\n",
        ),
        *(
            b"q=1e999",
            b"q=nan",
            b"q=-0",
            b"q=\xc2\xb2",
            b";" * 500,
            b"," * 500,
            b"version=\xff",
            b'"',
            b"\\",
            b"x" * _LONG,
        ),
        *(b"Authorization: Basic \xff", b"Authorization: Basic Og==", b"Authorization: Bearer x", b"Basic", b"=="),
        *(
            b"X: y\r\n" * 500,
            b"Host:",
            b"Host: \xff",
            b"Connection: close, keep-alive",
            b"\x16\x03\x01\x02\x00\x01\x00",
        ),
    ),
)
