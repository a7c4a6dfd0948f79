"""Reading suites, good and bad."""
