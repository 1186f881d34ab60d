"""Committees: which items to choose when several are wanted."""
