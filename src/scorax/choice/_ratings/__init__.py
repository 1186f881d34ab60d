"""Rating systems: states that are updated match by match."""
