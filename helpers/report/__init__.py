"""The report: tables and notes as HTML, the page made from executed notebooks, and publishing to figures/."""
