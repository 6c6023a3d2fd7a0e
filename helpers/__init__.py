"""The thin module that the notebooks share: one file per noun of the study."""
