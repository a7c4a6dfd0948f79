"""The evaluators: pure functions, one module for each question; they know no objective."""
