"""The plan: what a study will need in memory, time and disk, before anything is downloaded."""
