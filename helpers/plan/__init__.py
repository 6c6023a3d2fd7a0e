"""Planning a study before anything is downloaded: memory, hours, disk space and minimum detectable effects."""
