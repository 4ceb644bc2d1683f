"""Broken scenarios: one change each to a sound one, with a § where the mistake has to be found."""

from __future__ import annotations

from typing import Final, NamedTuple

SOUND: Final = """\
question: Does it hold when things break?
seed: 7
target: {reference: hardened}
agents:
  - name: researcher
    share: 60%
    pace: 2/s
    steps:
      - list_tools
      - call: search
        with: {query: "${nonce}", limit: 20}
        expect: {rows: ">= 1", carries: nonce}
        keep: {doc: "result[0].id"}
      - call: fetch
        with: {id: "${doc}"}
  - name: writer
    share: 40%
    pace: 1/2s
    steps:
      - call: append_note
        with: {key: "${session}", text: "${nonce}"}
        effect: once
load: {sessions: 20, ramp: 2s, treated: 50%}
phases: {warmup: 2s, baseline: 10s, recovery: 5s}
faults:
  - tcp-latency: {delay: 100ms}
    for: 5s
  - token-expire: {ttl: 3s}
    for: 8s
limits: {answered: ">= 99%", recovery: "<= 5s"}
abort: {control_errors: "> 20% for 5s"}
"""


LIMITS: Final = '{answered: ">= 99%", recovery: "<= 5s"}'


def between(first: str, behind: str) -> str:
    """Give a stretch of the sound scenario."""
    return SOUND[SOUND.index(first) : SOUND.index(behind)]


class Broken(NamedTuple):
    """One change to the sound scenario, and what the message has to say."""

    name: str
    old: str
    new: str  # § marks the place that the message has to point at
    words: tuple[str, ...]


BROKEN: Final = (
    # --- the grammar ---
    Broken("empty", SOUND, "§", ("mapping", "nothing")),
    Broken("a list", SOUND, "§- one\n", ("mapping", "a list of 1")),
    Broken("tab", "    share: 60%", "§\tshare: 60%", ("YAML", "spaces, not with tabs")),
    Broken(
        "dedent", "    pace: 2/s", "   §pace: 2/s", ("YAML", "a line that is indented otherwise")
    ),
    Broken("cut off", SOUND, "limits: [\n", ("YAML with a value here", "the end of the file")),
    Broken("unclosed", "limits: {answered", "limits: {answered: [§", ("YAML", "brackets")),
    Broken("two documents", "seed: 7\n", "seed: 7\n§---\nseed: 8\n", ("second", "file of its own")),
    Broken("alias", "seed: 7", "seed: §*seven", ("alias", "write the value out")),
    Broken("anchor", "seed: 7", "seed: §&seven 7", ("anchor &seven", "remove")),
    Broken("tag", "seed: 7", "seed: §!!int 7", ("tag", "remove")),
    Broken("merge key", "seed: 7", "seed: 7\n§<<: {seed: 8}", ("merge key", "write the merged")),
    Broken("doubled key", "seed: 7", "seed: 7\n§seed: 8", ("each key once", "seed again")),
    Broken("collection as key", "seed: 7", "seed: 7\n? §[a, b]\n: c", ("word as key",)),
    Broken("endless number", "seed: 7", "seed: §.inf", ("finite number",)),
    Broken(
        "path in a flow mapping",
        '"result[0].id"',
        "result§[0].id",
        ("quote the path", '"result[0].id"'),
    ),
    Broken(
        "for under a bare fault",
        "  - tcp-latency: {delay: 100ms}\n    for: 5s",
        "  - tcp-down\n    for§: 5s",
        ("write - tcp-down: with a colon",),
    ),
    # --- keys and kinds ---
    Broken("no question", "question: Does it hold when things break?\n", "§", ("key question",)),
    Broken("no agents", between("agents:", "load:"), "", ("key agents",)),
    Broken("unknown key", "seed: 7", "seed: 7\n§sede: 7", ("sede", "did you mean seed?")),
    Broken("unknown load key", "ramp: 2s", "§rmap: 2s", ("rmap", "did you mean ramp?")),
    Broken("key of a step", "keep: {", "§keeps: {", ("keeps", "did you mean keep?")),
    Broken("text for a number", "sessions: 20", 'sessions: §"20"', ("whole number", '"20"')),
    Broken("real for a whole", "sessions: 20", "sessions: §20.5", ("whole number", "20.5")),
    Broken("yes for true", "load:", "client: {listen: §yes}\nload:", ("true or false", '"yes"')),
    Broken("list for a mapping", LIMITS, "§[a]", ("a mapping", "a list of 1")),
    Broken(
        "mapping for a list",
        between("      - call: append_note", "load:"),
        "      §call: append_note\n",
        ("a list", "dash"),
    ),
    Broken(
        "revision of another era",
        "seed: 7",
        'seed: 7\nera: modern\nrevision: §"2025-06-18"',
        ("of the modern era", "2025-06-18", "remove era:"),
    ),
    Broken(
        "tls without https",
        "target: {reference: hardened}\n",
        "target:\n  url: http://127.0.0.1:1/mcp\n  tls: §{ca: a.pem}\n"
        "auth: {issuer: target, grant: bearer}\n",
        ("https URL", "remove tls:"),
    ),
    Broken(
        "a health check of somebody else's",
        "target: {reference: hardened}\n",
        "target:\n  url: http://127.0.0.1:1/mcp\n  health: §http://127.0.0.1:2/health\n"
        "auth: {issuer: target, grant: bearer}\n",
        ("same scheme, host and port", "health: /healthz"),
    ),
    Broken(
        "a health check that is no path",
        "target: {reference: hardened}\n",
        "target:\n  url: http://127.0.0.1:1/mcp\n  health: §healthz\n"
        "auth: {issuer: target, grant: bearer}\n",
        ("a path", "health: /healthz"),
    ),
    Broken(
        "a flaw that sse cannot show",
        "{reference: hardened}",
        "{reference: §[auth-at-init-only], transport: sse}",
        ("show over HTTP+SSE", "auth-at-init-only", "transport: http"),
    ),
    Broken(
        "sse in the modern era",
        "{reference: hardened}",
        "{reference: hardened, transport: §sse}\nera: modern",
        ("of the modern era", "sse", "era: legacy"),
    ),
    Broken(
        "a revision before streamable http",
        "target: {reference: hardened}",
        'target: {reference: hardened, transport: http}\nrevision: §"2024-11-05"',
        ("has Streamable HTTP", "transport: sse"),
    ),
    Broken("unknown choice", "seed: 7", "seed: 7\nera: §legcay", ("auto, legacy", "mean legacy?")),
    Broken("short question", "Does it hold when things break?", "§Why?", ("at least 8", "Why?")),
    Broken("name with capitals", "name: writer", "name: §Writer Two", ("small letters", "Writer")),
    Broken("too many sessions", "sessions: 20", "sessions: §1000000", ("at most 20000",)),
    Broken("seed below zero", "seed: 7", "seed: §-1", ("at least 0", "-1")),
    # --- quantities ---
    Broken("no unit", "ramp: 2s", "ramp: §2", ("duration with its unit", "got 2;")),
    Broken("unit spelt out", "for: 5s", "for: §5 seconds", ("did you mean 5s?",)),
    Broken("wrong unit", "delay: 100ms", "delay: §100KiB", ("duration", "100KiB")),
    Broken("share without sign", "share: 60%", "share: §0.6", ("percentage", "20%")),
    Broken("share above all", "treated: 50%", "treated: §150%", ("0% to 100%", "150%")),
    Broken("pace of nothing", "pace: 2/s", "pace: §0/s", ("pace", "1/2s")),
    Broken(
        "size in small letters",
        "tcp-latency: {delay: 100ms}",
        "payload-request: {size: §5mb}",
        ("size", "did you mean 5MB?"),
    ),
    Broken(
        "size out of bounds",
        "tcp-latency: {delay: 100ms}",
        "payload-request: {size: §1GiB}",
        ("at most 16MiB", "1GiB"),
    ),
    # --- target, steps, faults ---
    Broken(
        "unknown flaw",
        "reference: hardened",
        "reference: [§no-dedupe]",
        ("flaws of the reference server", "did you mean no-dedup?"),
    ),
    Broken("target of nothing", "{reference: hardened}", "§{server: x}", ("reference, url",)),
    Broken(
        "url without scheme",
        "{reference: hardened}\n",
        '{url: §"localhost:80/mcp"}\nauth: {issuer: target, grant: bearer}\n',
        ("http or https", "localhost:80/mcp"),
    ),
    Broken(
        "port that is none", "{reference: hardened}", '{url: §"http://[::1]:99999/mcp"}', ("port",)
    ),
    Broken(
        "two targets", "{reference: h", '§{url: "http://[::1]:1/mcp", reference: h', ("one target",)
    ),
    Broken("unquoted count", 'rows: ">= 1"', "rows: §1", ('write for example ">= 1"',)),
    Broken("too many calls", "pace: 2/s", "pace: §99999999/s", ("at most 50,000,000 calls",)),
    Broken("unknown step", "- list_tools", "- §list_tool", ("did you mean list_tools?",)),
    Broken("tool as a step", "- list_tools", "- §fetch_all", ("write call: fetch_all",)),
    Broken("call without a tool", "- list_tools", "- §call", ("say what to call",)),
    Broken("unknown step key", "- call: fetch", "- §cal: fetch", ("did you mean call?",)),
    Broken("two steps in one", "- call: fetch", "- call: fetch\n        §read: x", ("one step",)),
    Broken("unknown tool", "call: fetch", "call: §fecth", ("did you mean fetch?",)),
    Broken(
        "parallel of one",
        "- list_tools",
        "- parallel: §[list_tools]",
        ("at least 2 entries",),
    ),
    Broken("unknown fault", "tcp-latency:", "§tcp-latancy:", ("did you mean tcp-latency?",)),
    Broken("unknown parameter", "delay: 100ms", "§dealy: 100ms", ("did you mean delay?",)),
    Broken("two faults", "for: 8s", "for: 8s\n    §tcp-down:", ("one fault", "dash of its own")),
    Broken("no fault", "token-expire: {ttl: 3s}\n    for: 8s", "§for: 8s", ("a fault", "none")),
    Broken(
        "a key's time",
        "token-expire: {ttl: 3s}\n    for: 8s",
        "jwks-rotate: {keep: 3s, within: 5s}\n    for: §8s",
        ("more than 8500ms", "leave within: out"),
    ),
    Broken(
        "parameter outside",
        "    for: 8s",
        "    for: 8s\n    §overdue: 5%",
        ("inside token-expire",),
    ),
    Broken("parameters as text", "token-expire: {ttl: 3s}", "token-expire: §3s", ("parameters",)),
    # --- values ---
    Broken("value never kept", '"${doc}"', '§"${dok}"', ("${dok}", "did you mean doc?")),
    Broken("value kept later", "limit: 20}", 'limit: 20, of: §"${doc}"}', ("before this one",)),
    Broken("hole not closed", '"${doc}"', '§"${doc"', ("closed", "$${")),
    Broken("hole with a path", '"${doc}"', '§"${doc.id}"', ("${name}",)),
    Broken("hole in a name", "call: fetch", 'call: §"fetch_${doc}"', ("same in every call",)),
    Broken("hole in a key", "limit: 20}", '§"${session}": 1}', ("plain key",)),
    Broken("path", "result[0].id", "result[x]", ("path into the result", "result[0].id")),
    Broken("built-in kept", "{doc:", "{§nonce: id, doc:", ("built-in nonce",)),
    Broken(
        "name kept twice",
        "- call: fetch\n",
        "- call: fetch\n        keep: {§doc: id}\n",
        ("each name kept once",),
    ),
    Broken("kept under no name", "{doc:", '{§"a b": id, doc:', ("a name",)),
    Broken("rows", '">= 1"', '§">> 1"', ("number of rows", "1..50")),
    Broken("rows upside down", '">= 1"', '§"5..1"', ("smaller number first",)),
    Broken("effect nobody can see", 'text: "${nonce}"', "text: hello", ("${nonce}", "ledger")),
    # --- sense ---
    Broken("shares", "share: 40%", "share: §50%", ("sum to 100%", "110%", "make this 40%")),
    Broken("same name", "name: writer", "name: §researcher", ("name of its own",)),
    Broken(
        "agent without session",
        between("share: 60%", "    pace: 1/2s"),
        between("share: 60%", "    pace: 1/2s").replace("60", "99.9").replace("40%", "§0.1%"),
        ("none out of 20",),
    ),
    Broken("no control", "treated: 50%", "treated: §100%", ("one control", "20 treated of 20")),
    Broken("no treated", "treated: 50%", "treated: §0%", ("0 treated of 20",)),
    Broken("baseline", "baseline: 10s", "baseline: §1s", ("at least 3s", "1s")),
    Broken("recovery", "recovery: 5s}", "recovery: §0s}", ("at least 1s", "0s")),
    Broken("window of nothing", "for: 5s", "for: §0s", ("longer than nothing",)),
    Broken("too early", "    for: 5s", "    at: §3s\n    for: 5s", ("14s or later", "baseline")),
    Broken("out of order", "    for: 8s", "    at: §20s\n    for: 8s", ("24s or later",)),
    Broken("a day too long", "for: 8s", "for: 25h", ("at most 24h",)),
    Broken("limit", '">= 99%"', '§"99%"', ("a comparison", ">= 99.5%")),
    Broken("limit's unit", '"<= 5s"', '§"<= 5%"', ("duration", "<= 5s")),
    Broken("limit the wrong way", '">= 99%"', '§"<= 99%"', ("a least value",)),
    Broken("limit for a while", '">= 99%"', '§">= 99% for 5s"', ("whole run",)),
    Broken("points", 'recovery: "<= 5s"', 'score: §">= 800"', ("0 to 100",)),
    Broken("abort", '"> 20% for 5s"', '§"< 20%"', ("above which to stop",)),
    Broken(
        "nothing to recover from", between("faults:", "limits:"), "", ("a fault to recover from",)
    ),
    Broken(
        "no tokens",
        "{reference: hardened}",
        '{url: "http://127.0.0.1:1/mcp"}',
        ("sessions with tokens", "issuer: target"),
    ),
    Broken(
        "lifetime of a foreign issuer",
        "{reference: hardened}",
        '{url: "http://127.0.0.1:1/mcp"}\nauth: {issuer: target}',
        ("alone can shorten", "by: damage"),
    ),
    Broken(
        "own issuer for a foreign server",
        "{reference: hardened}",
        '{url: "http://127.0.0.1:1/mcp"}\nauth: {issuer: §embedded}',
        ("issuer of its own", "write issuer: target"),
    ),
    Broken(
        "a narrow token where nothing is written",
        "tcp-latency: {delay: 100ms}",
        "§scope-deny: {tool: nothing}",
        ("needs more than the scope", "name its tool"),
    ),
    Broken(
        "a dependency's token without a dependency",
        "tcp-latency: {delay: 100ms}",
        "§refresh-fail: {of: dependency}",
        ("sells tokens", "of: agents"),
    ),
    Broken(
        "tool of another server",
        "tcp-latency: {delay: 100ms}",
        "payload-response: {tool: §huge}",
        ("tool big", "huge"),
    ),
    # --- what servers ask, and calls that are more than one reply ---
    Broken(
        "a sampling rule of one word that is none",
        "abort:",
        'client: {answers: {sampling: §"yes"}}\nabort:',
        ("refuse, or a mapping", "{text:"),
    ),
    Broken(
        "an unknown thing to do with a form",
        "abort:",
        "client: {answers: {elicitation: §agree}}\nabort:",
        ("accept", "decline", "cancel"),
    ),
    Broken(
        "an answer that names what no client knows then",
        "abort:",
        'client: {answers: {sampling: {text: §"${doc}"}}}\nabort:',
        ("${doc}",),
    ),
    Broken(
        "a root that is no folder",
        "abort:",
        'client: {answers: {roots: [§"https://example.com"]}}\nabort:',
        ("file://",),
    ),
    Broken(
        "changes that nobody hears of",
        "abort:",
        "client: {follow_changes: §true}\nabort:",
        ("listen: true",),
    ),
    Broken(
        "a subscription that nobody listens to",
        "      - list_tools\n",
        "      - subscribe: §squall://board\n",
        ("listen: true",),
    ),
    Broken(
        "a subscription to a URI that varies",
        "      - list_tools\n",
        '      - subscribe: §"squall://${nonce}"\n',
        ("the same in every call",),
    ),
    Broken(
        "something odd beside a subscription",
        "      - list_tools\n",
        "      - unsubscribe: squall://board\n        §with: {a: 1}\n",
        ("remove it",),
    ),
    Broken(
        "a cancel that can never come",
        '        with: {id: "${doc}"}\n',
        '        with: {id: "${doc}"}\n        cancel_after: §10s\n',
        ("less than the deadline of 10s",),
    ),
    Broken(
        "patience that is none",
        '        with: {id: "${doc}"}\n',
        '        with: {id: "${doc}"}\n        patience: §5s\n',
        ("more than the deadline",),
    ),
    Broken(
        "patience with a call that is called off",
        '        with: {id: "${doc}"}\n',
        '        with: {id: "${doc}"}\n        cancel_after: 1s\n        patience: §20s\n',
        ("both",),
    ),
    Broken(
        "edits that nothing shows",
        '        with: {id: "${doc}"}\n',
        '        with: {id: "${doc}"}\n        seen_in: §serch\n',
        ("search",),
    ),
    Broken(
        "edits that are shown for each call apart",
        '        with: {id: "${doc}"}\n',
        '        with: {id: "${doc}"}\n        seen_in: §search\n',
        ("the same arguments",),
    ),
    Broken(
        "progress that cannot be counted",
        'rows: ">= 1", carries: nonce',
        'rows: ">= 1", carries: nonce, progress: §"many"',
        ("many",),
    ),
    Broken(
        "a step that the official client does not take",
        between("target:", "      - list_tools"),
        "engine: sdk\n"
        + between("target:", "      - list_tools")
        + "      - §call: fetch\n        progress: true\n",
        ("remove engine: sdk, or the step",),
    ),
    # --- the audit ---
    Broken(
        "an audit that asks nobody", "seed: 7\n", "seed: 7\naudit: §{counts: count}\n", ("neither",)
    ),
    Broken(
        "an audit of what nobody calls",
        "seed: 7\n",
        "seed: 7\naudit: {call: count, of: [§write]}\n",
        ("a tool that a step calls", "append_note"),
    ),
    Broken(
        "an audit without a path",
        "seed: 7\n",
        'seed: 7\naudit: {http: "http://127.0.0.1:9/", counts: §"a b"}\n',
        ("path into the answer",),
    ),
    Broken(
        "an audit of nothing that takes effect",
        "seed: 7\n" + between("target:", "limits:"),
        "seed: 7\naudit: §{call: count}\n"
        + between("target:", "limits:").replace("        effect: once\n", ""),
        ("effect: once",),
    ),
)
