"""From findings to the text of a file that is known to be a scenario."""

from __future__ import annotations

from harness.discovery import drafting, notation, secrecy, writing
from harness.discovery.findings import Findings, Learned
from harness.errors import TargetError
from harness.scenario.auth import Auth
from harness.scenario.load import load_text
from harness.scenario.records import Target

VALUE_CHARACTERS_MAX = 1200  # of one step's arguments, written out
NAME_CHARACTERS_MAX = 300


def compose(
    findings: Findings,
    *,
    target: Target,
    auth: Auth | None,
    era: str,
    revision: str,
    remote: bool,
    file: str,
    again: str,
    flags: str = "",
) -> str:
    """Give a scenario file's text; what no file can say is left out, and said so.

    Raises:
        TargetError: there is nothing that a scenario could ask for.
        ScenarioError: never but by a defect, for what is written was made to be read.
    """
    lost = {
        one.name: "a scenario file cannot say its name or arguments"
        for one in findings.learned
        if not _can_be_written(one)
    }
    shown, hidden = secrecy.public(target)
    draft = drafting.draft(
        drafting.without(findings, lost),
        target=shown,
        auth=auth,
        era=era,
        revision=revision,
        remote=remote,
    )
    if not draft.agents:
        raise TargetError(
            f"{findings.offer.name} offers no tools, resources or prompts that a scenario could "
            "use; is this the right address?"
        )
    text = writing.write(draft, file=file, again=again, flags=flags, hidden=hidden)
    load_text(text, file)
    return text


def _can_be_written(one: Learned) -> bool:
    if len(one.name) > NAME_CHARACTERS_MAX:
        return False
    if one.kind != "resource" and "${" in one.name:
        return False
    if any("${" in key for key in _keys(one.arguments)):
        return False
    if len(notation.flow(one.arguments)) > VALUE_CHARACTERS_MAX:
        return False
    return notation.says([one.name, one.arguments])


def _keys(value: object) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(key for member in value.values() for key in _keys(member))]
    return [key for member in value for key in _keys(member)] if isinstance(value, list) else []
