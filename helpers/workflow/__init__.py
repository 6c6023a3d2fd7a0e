"""Workflow: the graph of a study's jobs, running one notebook with Papermill, and assigning GPUs to jobs."""
