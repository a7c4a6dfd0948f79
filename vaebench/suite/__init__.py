"""The suite file: its schema, loading with line numbers, expansion to cells and fleets; no torch."""
