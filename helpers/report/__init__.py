"""The report: pieces of HTML (pages), a browser for rows, the contents of 05_analysis (chapter), the page built from executed notebooks
(build), the generated blocks of the README (readme), and publishing to figures/ (publish). Pages and blocks are Jinja templates (*.j2)."""
