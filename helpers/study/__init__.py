"""Study: the parameters as types, the YAML file they come from, paths and inputs, and results that are written whole or not at all."""
