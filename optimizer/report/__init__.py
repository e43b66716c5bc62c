"""The report: JSON, HTML, terminal table."""
