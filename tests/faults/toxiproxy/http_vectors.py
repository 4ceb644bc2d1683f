"""How the API is spoken: raw bytes by name, compared answer by answer with what comes back."""

from __future__ import annotations

from typing import Final

from tests.faults.toxiproxy.api_vectors import LATENCY, P, create, toxic
from tests.faults.toxiproxy.asking import Request, ask

PATHS: Final = (
    *("/proxies", "/proxies/p", "/proxies/p/toxics", "/proxies/p/toxics/latency_downstream"),
    *("/reset", "/populate", "/version", "/nonsense"),
)
METHODS: Final = ("PUT", "OPTIONS", "TRACE", "PURGE", "get")


def _line(target: str, *headers: str, method: str = "GET", protocol: str = "HTTP/1.1") -> bytes:
    lines = [f"{method} {target} {protocol}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


HOST: Final = "Host: toxiproxy"
VERSION: Final = _line("/version", HOST)
CHUNKED: Final = "Transfer-Encoding: chunked"
BODY: Final = b'{"name":"p","upstream":"127.0.0.1:9","listen":"127.0.0.1:0"}'


def _post(body: bytes, *headers: str, path: str = "/proxies", protocol: str = "HTTP/1.1") -> bytes:
    length = f"Content-Length: {len(body)}"
    return _line(path, HOST, length, *headers, method="POST", protocol=protocol) + body


def _chunks(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + end


def _methods() -> dict[str, list[Request]]:
    allowed = {
        "/proxies": {"GET", "POST"},
        "/proxies/p": {"GET", "POST", "PATCH", "DELETE"},
        "/proxies/p/toxics": {"GET", "POST"},
        "/proxies/p/toxics/latency_downstream": {"GET", "POST", "PATCH", "DELETE"},
        "/reset": {"POST"},
        "/populate": {"POST"},
        "/version": {"GET"},
        "/nonsense": set(),
    }
    every = {"GET", "POST", "PATCH", "DELETE", *METHODS}
    return {
        f"wrong methods on {path}": [
            create(),
            LATENCY,
            *(
                ask(method, path, status=405 if allowed[path] else 404)
                for method in sorted(every - allowed[path])
            ),
        ]
        for path in PATHS
    }


def _paths() -> dict[str, list[Request]]:
    unknown = ["/", "/x", "/proxies/", "/proxies/p/", "/proxies/p/x", "/version/", "/Version"]
    unknown += ["/proxies/p/toxics/", "/proxies/p/toxics/t/u", "/metrics", "/proxies/p%2Fq"]
    unclean = ["//proxies", "/proxies//p", "/./proxies", "/proxies/../version", "/x/..", "/.."]
    unclean += ["/proxies/p/..", "/proxies/%2e%2e/version", "/proxies//", "//", "/proxies/./"]
    unclean += ["//proxies?x=1", "/proxies/%2F", "//evil.example/x", "/proxies//a%20b%3Fc"]
    found = ["/proxies?x=/y", "/proxies?", "/proxies/p?a=b&c", "/%70roxies", "/proxies/%70"]
    return {
        **{f"no such path {path}": [create(), ask("GET", path, status=404)] for path in unknown},
        **{f"path {path}": [create(), ask("GET", path)] for path in found},
        **{
            f"unclean path {path}": [ask("GET", path, status=301), ask("POST", path, status=301)]
            for path in unclean
        },
        "the path with a body for nobody": [ask("POST", "/nonsense", P, 404)],
        "names in paths": [
            *(create({**P, "name": name}) for name in ("a b", "é", "a+b", "a%b", "a\nb")),
            ask("GET", "/proxies/a%20b"),
            ask("GET", "/proxies/a+b"),
            ask("GET", "/proxies/a%2Bb"),
            ask("GET", "/proxies/%C3%A9"),
            ask("GET", "/proxies/a%25b"),
            ask("GET", "/proxies/a%0Ab"),
            ask("GET", "/proxies/%ff", status=404),
            ask("GET", "/proxies/..", status=301),
        ],
        "what only ours has": [
            ask("GET", "/squall", status=404),
            ask("GET", "/squall/exposure", status=404),
        ],
        "letters that a path must not have": [
            create({**P, "name": "é"}),
            ask("GET", "/proxies/é"),
        ],
        "HEAD": [
            create(),
            *(ask("HEAD", path, status=404 if path == "/nonsense" else 405) for path in PATHS),
        ],
        "more than one write of an answer": [
            *(create({**P, "name": f"proxy-number-{number:02}"}) for number in range(30)),
            ask("GET", "/proxies"),
        ],
        "an answer just over two kilobytes": [
            create({**P, "name": "n" * 2100}),
            create({**P, "name": "m" * 1900}),
            toxic({}, 404),
        ],
        "browsers": [
            ask("GET", "/version", status=403, User_Agent="Mozilla/5.0"),
            ask("POST", "/reset", status=403, User_Agent="Mozilla/"),
            ask("GET", "/nonsense", status=404, User_Agent="Mozilla/5.0"),
            ask("PUT", "/version", status=405, User_Agent="Mozilla/5.0"),
            ask("GET", "/version", User_Agent="mozilla/5.0"),
            ask("GET", "/version", User_Agent="Mozilla"),
            ask("GET", "/version", User_Agent="x Mozilla/5.0"),
        ],
        "content types are not looked at": [
            ask("POST", "/proxies", P, 201, Content_Type="text/plain"),
            ask("GET", "/version", Accept="text/html", Accept_Encoding="gzip, br"),
            ask("GET", "/version", Origin="https://example.test", If_None_Match="*"),
        ],
    }


# Bytes to send, and what must come of it: the statuses, then whether the connection serves on.
HTTP_VECTORS: Final[dict[str, tuple[list[bytes], str]]] = {
    "keep-alive by default": ([VERSION, VERSION], "200 200 served on"),
    "pipelined requests": ([VERSION * 10], "200 " * 10 + "served on"),
    "pipelined requests with bodies": (
        [_post(BODY) + _post(BODY) + _post(b"{}", path="/proxies/p") + VERSION],
        "201 409 200 200 served on",
    ),
    "close when asked to": ([_line("/version", HOST, "Connection: close")], "200 closed"),
    "close when asked to, otherwise spelled": (
        [_line("/version", HOST, "connection: Close, x")],
        "200 closed",
    ),
    "keep-alive when asked to": (
        [_line("/version", HOST, "Connection: keep-alive")],
        "200 served on",
    ),
    "HTTP/1.0": ([_line("/version", protocol="HTTP/1.0")], "200 closed"),
    "HTTP/1.0 with keep-alive": (
        [_line("/version", "Connection: keep-alive", protocol="HTTP/1.0")],
        "200 served on",
    ),
    "HTTP/1.0 not found": ([_line("/x", protocol="HTTP/1.0")], "404 closed"),
    "HTTP/1.0 POST": ([_post(BODY, protocol="HTTP/1.0")], "201 closed"),
    "HTTP/2.0 in words": ([_line("/version", HOST, protocol="HTTP/2.0")], "505 closed"),
    "HTTP/1.2": ([_line("/version", HOST, protocol="HTTP/1.2")], "200 served on"),
    "no protocol": ([b"GET /version\r\n\r\n"], "400 closed"),
    "an odd protocol": ([_line("/version", HOST, protocol="HTTX/1.1")], "400 closed"),
    "no host": ([_line("/version")], "400 closed"),
    "two hosts": ([_line("/version", HOST, HOST)], "400 closed"),
    "an empty host": ([_line("/version", "Host:")], "200 served on"),
    "an odd host": ([_line("/version", "Host: a b")], "400 closed"),
    "an absolute target": ([_line("http://elsewhere.test/version", HOST)], "200 served on"),
    "a target of two slashes": ([_line("//elsewhere.test/version", HOST)], "301 served on"),
    "the target *": ([_line("*", HOST)], "301 served on"),
    "OPTIONS *": ([_line("*", HOST, method="OPTIONS")], "200 served on"),
    "a relative target": ([_line("version", HOST)], "400 closed"),
    "a broken escape in the target": ([_line("/proxies/%zz", HOST)], "400 closed"),
    "a fragment in the target": ([_line("/version#x", HOST)], "404 served on"),
    "no method": ([b" /version HTTP/1.1\r\nHost: x\r\n\r\n"], "400 closed"),
    "an odd method": ([_line("/version", HOST, method="G(T")], "400 closed"),
    "nonsense": ([b"nonsense\r\n\r\n"], "400 closed"),
    "lines that end in LF alone": ([b"GET /version HTTP/1.1\nHost: x\n\n"], "200 served on"),
    "empty lines before a request": ([b"\r\n" + VERSION], "400 closed"),
    "a header without colon": ([_line("/version", HOST, "nonsense")], "400 closed"),
    "a header with a space before its colon": ([_line("/version", HOST, "X : y")], "400 closed"),
    "a folded header": ([_line("/version", HOST, "X: a", " b")], "200 served on"),
    "a header with Latin letters": ([_line("/version", HOST, "X: \xe9")], "200 served on"),
    "a header with a control character": ([_line("/version", HOST, "X: \x01")], "400 closed"),
    "many headers": ([_line("/version", HOST, *["X: y"] * 500)], "200 served on"),
    "headers of sixty kilobytes": (
        [_line("/version", HOST, "X: " + "y" * 60_000)],
        "200 served on",
    ),
    "headers of half a megabyte": (
        [_line("/version", HOST, "X: " + "y" * 500_000)],
        "200 served on",
    ),
    "headers over a megabyte": ([_line("/version", HOST, "X: " + "y" * 1_100_000)], "431 closed"),
    "a long target": ([_line("/proxies/" + "y" * 60_000, HOST)], "404 served on"),
    "a chunked body": (
        [_line("/proxies", HOST, CHUNKED, method="POST") + _chunks(BODY[:5], BODY[5:])],
        "201 served on",
    ),
    "a chunked body of single bytes, late": (
        [
            _line("/proxies", HOST, CHUNKED, method="POST"),
            *(b"1\r\n%c\r\n" % byte for byte in BODY),
            b"0\r\n\r\n",
        ],
        "201 served on",
    ),
    "a chunked body with extension and trailer": (
        [
            _line("/proxies", HOST, CHUNKED, method="POST"),
            b"%x;a=b\r\n%s\r\n0\r\nX: y\r\n\r\n" % (len(BODY), BODY),
        ],
        "201 served on",
    ),
    "an empty chunked body": (
        [_line("/proxies", HOST, CHUNKED, method="POST") + _chunks()],
        "400 served on",
    ),
    "a broken chunk": ([_line("/proxies", HOST, CHUNKED, method="POST") + b"zz\r\n"], "400 closed"),
    "chunked and length at once": (
        [_line("/proxies", HOST, CHUNKED, "Content-Length: 5", method="POST") + _chunks(BODY)],
        "201 served on",
    ),
    "an unknown transfer encoding": (
        [_line("/proxies", HOST, "Transfer-Encoding: gzip", method="POST") + BODY],
        "501 closed",
    ),
    "no length": ([_line("/proxies", HOST, method="POST")], "400 served on"),
    "a length of nonsense": (
        [_line("/proxies", HOST, "Content-Length: x", method="POST")],
        "400 closed",
    ),
    "a negative length": (
        [_line("/proxies", HOST, "Content-Length: -1", method="POST")],
        "400 closed",
    ),
    "two lengths": (
        [_line("/proxies", HOST, "Content-Length: 5", "Content-Length: 6", method="POST")],
        "400 closed",
    ),
    "a body with GET": (
        [_line("/version", HOST, "Content-Length: 5", method="GET") + b"12345"],
        "200 served on",
    ),
    "a body that no route wants": ([_post(BODY, path="/nonsense")], "404 served on"),
    "a body with a wrong method": (
        [_line("/version", HOST, "Content-Length: 5", method="PUT") + b"12345"],
        "405 served on",
    ),
    "a big body that no route wants": ([_post(b" " * 300_000, path="/nonsense")], "404 closed"),
    "a big body": ([_post(BODY + b" " * 1_000_000)], "201 closed"),
    "a body of half a megabyte in front": ([_post(b" " * 500_000 + BODY)], "201 served on"),
    "told to go on": ([_post(BODY, "Expect: 100-continue")], "100 201 served on"),
    "told to go on, otherwise spelled": (
        [_post(BODY, "expect: 100-Continue")],
        "100 201 served on",
    ),
    "told to go on for nobody": ([_post(b"", "Expect: 100-continue", path="/x")], "404 served on"),
    "an unknown expectation": ([_post(BODY, "Expect: more")], "417 closed"),
    "an upgrade to h2c": (
        [_line("/version", HOST, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c")],
        "200 served on",
    ),
    "an upgrade to a web socket": (
        [_line("/version", HOST, "Connection: Upgrade", "Upgrade: websocket")],
        "200 served on",
    ),
    "two agents": (
        [_line("/version", HOST, "User-Agent: x", "User-Agent: Mozilla/5.0")],
        "200 served on",
    ),
    "the preface of HTTP/2": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], "301 closed"),
}

ROUTE_VECTORS: Final = {**_methods(), **_paths()}
