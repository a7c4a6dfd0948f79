"""Faults, hostile inputs and growth, longer than the test suite has time for; docs/reliability.md keeps the results."""
