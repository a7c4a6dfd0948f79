"""The catalog against itself."""
