"""A study: its parameters as types, the YAML file they come from, its paths, and files that are written whole or not at all."""
