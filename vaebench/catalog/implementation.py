"""From the `module:object` references of the catalog to the objects themselves."""

import importlib
from typing import Any


def implementation(reference: str | None) -> Any:
    """The object that a `package.module:name` reference means; None stands for a part that nothing is built from."""
    if reference is None:
        raise ValueError("this part belongs to a fitted model and builds nothing by itself")
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
