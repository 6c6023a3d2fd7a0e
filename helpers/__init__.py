"""The package that the notebooks share: one folder per noun of the study."""
