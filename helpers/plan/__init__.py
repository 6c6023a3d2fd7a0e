"""The plan of a study before anything is downloaded: its memory, hours and disk, and the smallest effect it can detect."""
