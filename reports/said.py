"""What servers asked the clients and told them unasked, in a few lines of words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

_TOLD = ("progress", "resources/updated", *(f"{of}/list_changed" for of in ("tools", "prompts")))


def sentences(counts: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """Give (label, sentence) for each thing that happened at all; nothing when nothing did."""
    parts = (
        ("asked back", ", ".join(_asked(counts))),
        ("told unasked", ", ".join(_told(counts))),
        ("tasks", ", ".join(_members(counts, "tasks:"))),
        ("called off", ", ".join(_members(counts, "cancelled:"))),
        ("listening", ", ".join(_members(counts, "listen:"))),
    )
    return tuple((label, words) for label, words in parts if words)


def in_one(counts: Mapping[str, int]) -> str:
    """Give the same in one sentence, for a narrow screen."""
    asked = sum(count for name, count in counts.items() if name.startswith("asked:"))
    told = sum(counts.get(f"heard:{name}", 0) for name in (*_TOLD, "resources/list_changed"))
    parts = (
        (asked, "questions"),
        (counts.get("asked:dropped", 0), "left unanswered"),
        (told, "notifications"),
        (counts.get("tasks:created", 0), "tasks"),
        (counts.get("tasks:lost", 0), "tasks lost"),
        (counts.get("listen:dropped", 0), "streams dropped"),
        (counts.get("listen:lost", 0) + counts.get("listen:refused", 0), "not to be had"),
    )
    return ", ".join(f"{count:,} {words}" for count, words in parts if count)


def _asked(counts: Mapping[str, int]) -> Iterator[str]:
    for name, count in sorted(counts.items()):
        if name.startswith("asked:"):
            yield f"{count:,} {' '.join(name.split(':')[1:])}"
    taken = counts.get("answers:taken", 0) + counts.get("answers:lost", 0)
    if taken:
        yield f"{counts.get('answers:us', 0) / 1000 / taken:.2f} ms each"


def _told(counts: Mapping[str, int]) -> Iterator[str]:
    for name, count in sorted(counts.items()):
        if name.startswith("heard:"):
            yield f"{count:,} {' '.join(name.split(':')[1:])}"


def _members(counts: Mapping[str, int], prefix: str) -> Iterator[str]:
    for name, count in sorted(counts.items()):
        if name.startswith(prefix):
            yield f"{count:,} {name.removeprefix(prefix).replace('_', ' ')}"
