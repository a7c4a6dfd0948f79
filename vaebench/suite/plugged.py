"""The plugins that a suite lists. A suite file alone never runs code: its reader must trust it, or name them too."""

from pathlib import Path
from typing import Any

from vaebench.plugins.importing import file_of
from vaebench.plugins.loading import is_loaded, load_plugins
from vaebench.plugins.plugin import PluginError
from vaebench.suite.mistakes import Findings
from vaebench.suite.schema import well_shaped


def bring_listed(content: Any, findings: Findings, folder: Path, trusted: bool) -> None:
    """Load what the suite's `plugins` names, relative to the suite's own folder; refuse if nobody trusts it.

    What is named is not looked up before it is known what there is, so other mistakes than those of shape wait.
    """
    listed = content.get("plugins") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        return
    for place, reference in enumerate(listed):
        if isinstance(reference, str) and reference:
            _bring(reference, ("plugins", place), findings, folder, trusted)
    if findings.touches(("plugins",)):
        well_shaped(content, findings)
        findings.raise_if_any()


def _bring(reference: str, path: tuple[str, int], findings: Findings, folder: Path, trusted: bool) -> None:
    is_file = reference.endswith(".py") or "/" in reference
    wanted = str(folder / reference) if is_file else reference
    try:
        if is_file:
            file_of(Path(wanted), wanted)
        if not (trusted or is_loaded(wanted)):
            what = f"a suite file alone runs no code; if you trust {wanted}, add --trust-plugins, or --plugin {wanted}"
            findings.add(path, what)
            return
        load_plugins(wanted)
    except PluginError as error:
        for line in str(error).splitlines():
            findings.add(path, line)
