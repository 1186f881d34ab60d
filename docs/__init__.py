"""Tools and tables of the documentation."""
