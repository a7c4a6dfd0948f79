"""The fleet trainer, and fitting in closed form."""
