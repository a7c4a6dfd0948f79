"""Which errors are their user's fault: known by name, so that nobody who asks has to import what raises them."""

USERS = (
    "StoreError",
    "UnknownName",
    "DataError",
    "ReportError",
    "ForeignModelError",
    "ContractError",
    "PluginError",
    "EngineUnavailable",
)
"""Classes of errors whose message is for the user, one mistake a line."""


def told_to_users(error: BaseException) -> str | None:
    """What is wrong with what was asked, one mistake a line; None where the error is ours."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return str(error) if names & {*USERS, "SuiteError", "NothingMatched"} else None
