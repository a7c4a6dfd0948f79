"""Posteriors q(z|x): heads on an encoder that return a distribution over codes."""
