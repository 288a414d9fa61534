"""A config from a file alone."""
