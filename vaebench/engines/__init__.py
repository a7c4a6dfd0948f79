"""Where fleets run."""
