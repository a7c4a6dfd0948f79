"""Variants, recipes, budgets, metrics and the schemas of their parameters, all as data (YAML); no torch."""
