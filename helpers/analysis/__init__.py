"""Analysis: intervals and tests, comparison of arms, power, mechanism, claims, checks and plots."""
