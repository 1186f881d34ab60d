"""What the hot kernels cost, what they could cost, and what peers cost: `python -m benchmarks --help`."""
