"""The report: tables, charts and one self-contained HTML page."""
