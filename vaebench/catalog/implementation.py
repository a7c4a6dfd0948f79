"""From the `module:object` references of the catalog to the objects themselves."""

import importlib
from typing import Any


def implementation(reference: str) -> Any:
    """The object that a `package.module:name` reference means."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
