"""Models whose likelihood is known in closed form."""
