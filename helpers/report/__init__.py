"""The report: pieces of HTML (pages), a browser for rows, what 05_analysis shows (chapter), the page built from executed notebooks
(build), the README's blocks (readme), and publishing to figures/ (publish). Pages and blocks are Jinja templates (*.j2)."""
