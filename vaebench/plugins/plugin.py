"""A plugin that was loaded: where it comes from, of what sources it is made, and what it brings."""

from dataclasses import dataclass
from typing import Literal

from vaebench.plugins.declaring import Declaration


class PluginError(Exception):
    """A plugin that cannot be used as it is: its author's mistakes, a line each."""


@dataclass(frozen=True)
class Plugin:
    reference: str
    """What another process loads it by: a file's absolute path, or a module's name."""
    shown: str
    """As its user gave it; of an installed one the package, its version and the entry point."""
    origin: Literal["given", "installed"]
    """By option or by a trusted suite; or by an entry point, so that nobody need name it."""
    modules: frozenset[str]
    """Its own modules: the one that is referred to, and those that this imports from beside it."""
    hash: str
    """Of the sources of its modules."""
    imports: frozenset[str]
    """Modules of vaebench that these sources import."""
    declarations: tuple[Declaration, ...]

    @property
    def brings(self) -> frozenset[tuple[str, str]]:
        """Kind and name of everything."""
        return frozenset((declaration.kind, declaration.name) for declaration in self.declarations)

    @property
    def brings_data(self) -> bool:
        """Whether there is a data set in it; a process loads one of a name once."""
        return any(declaration.kind == "dataset" for declaration in self.declarations)

    @property
    def reads_files(self) -> bool:
        """Whether some of it stands in a YAML file."""
        return any(not declaration.file.endswith(".py") for declaration in self.declarations)
