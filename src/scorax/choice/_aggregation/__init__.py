"""Rank aggregation: one order from many, without a model of who votes how."""
