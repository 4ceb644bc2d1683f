"""What the command line changes in a scenario, and how a run folder remembers it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from harness.errors import JournalError, UsageError
from harness.scenario.bare import bare
from harness.scenario.load import Loaded, load, load_text
from harness.scenario.mistakes import nearest
from harness.scenario.records import (
    FLAWS,
    HARDENED,
    LaunchTarget,
    ReferenceTarget,
    StdioTarget,
    Target,
    UrlTarget,
    era_of,
)


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Flags of `squall run` that change the scenario; None keeps what the file says."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    target_url: str | None = None
    launch: tuple[str, ...] | None = None
    stdio: tuple[str, ...] | None = None
    reference: tuple[str, ...] | None = None
    era: str | None = None
    engine: str | None = None
    revision: str | None = None
    seed: int | None = None
    tls: dict[str, str] | None = None  # ca, certificate, key
    aa: bool | None = None  # nothing is broken, and both arms are compared
    unix_socket: str | None = None
    transport: str | None = None
    by_hand: bool | None = None  # its faults are started by people: the scenario needs none

    def target(self) -> Target | None:
        """Give the target that the flags ask for.

        Raises:
            UsageError: when a flaw is not one of the reference server's.
        """
        if self.target_url is not None and self.launch is not None:
            return LaunchTarget(launch=self.launch, url=self.target_url)
        if self.target_url is not None:
            return UrlTarget(url=self.target_url)
        if self.stdio is not None:
            return StdioTarget(stdio=self.stdio)
        if self.reference is not None:
            unknown = [name for name in self.reference if name not in (*FLAWS, HARDENED)]
            if unknown:
                raise UsageError(
                    f"expected {HARDENED} or flaws of the reference server, got {unknown[0]!r}; "
                    f"{nearest(unknown[0], (HARDENED, *FLAWS), what='there are')}"
                )
            return ReferenceTarget(reference=self.reference)
        return None

    def load(self, text: str, file: str) -> Loaded:
        """Read a scenario's text, with these changes.

        Raises:
            ScenarioError: with every mistake in the text.
        """
        return self._changed(
            load_text(text, file, target=self.target(), by_hand=bool(self.by_hand))
        )

    def load_file(self, path: Path) -> Loaded:
        """Read a scenario file, with these changes.

        Raises:
            ScenarioError: with every mistake in the file.
        """
        return self._changed(load(path, target=self.target(), by_hand=bool(self.by_hand)))

    def _changed(self, loaded: Loaded) -> Loaded:
        changes: dict[str, Any] = {}
        if self.era is not None:
            changes["era"] = self.era
        if self.engine is not None:
            changes["engine"] = self.engine
        if self.revision is not None:
            changes["revision"] = self.revision
        if self.seed is not None:
            changes["seed"] = self.seed
        era, revision = (
            changes.get(name, getattr(loaded.scenario, name)) for name in ("era", "revision")
        )
        if revision is not None and era not in {"auto", era_of(revision)}:
            raise UsageError(
                f"revision {revision} is of the {era_of(revision)} era, not of the {era} one; "
                "leave --era out, or name another --revision"
            )
        changes["target"] = self.reached(loaded.scenario.target)
        scenario = loaded.scenario.model_copy(update=changes)
        return replace(loaded, scenario=bare(scenario) if self.aa else scenario)

    def reached(self, target: Target) -> Target:
        """Give the target as the flags say that it is reached."""
        if self.tls is not None or self.unix_socket is not None:
            if not isinstance(target, UrlTarget | LaunchTarget):
                raise UsageError(
                    "--ca, --client-certificate and --socket are for a target with a URL; "
                    "name one with --target"
                )
            if self.tls is not None and not target.url.startswith("https://"):
                raise UsageError(
                    f"--ca and --client-certificate are for an https target, not for {target.url}"
                )
            tls = target.tls.model_copy(update=self.tls)
            unix_socket = self.unix_socket or target.unix_socket
            target = target.model_copy(update={"tls": tls, "unix_socket": unix_socket})
        if self.transport is None:
            return target
        if self.transport == "auto" and isinstance(target, ReferenceTarget):
            raise UsageError("the bundled server speaks one: --transport http or sse")
        return target.model_copy(update={"transport": self.transport})


_ADAPTER: TypeAdapter[Overrides] = TypeAdapter(Overrides)


def dump(overrides: Overrides) -> dict[str, Any]:
    """Make overrides fit for `facts.json`."""
    return {key: value for key, value in asdict(overrides).items() if value is not None}


def restore(data: dict[str, Any], folder: Path) -> Overrides:
    """Read what `dump` made.

    Raises:
        JournalError: when it is not that.
    """
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        raise JournalError(f"{folder} was written by another version of squall: {error}") from error
