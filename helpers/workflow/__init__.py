"""Workflow: the graph of a study's jobs, one notebook run by Papermill, and GPUs shared out to jobs."""
