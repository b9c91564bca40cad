"""What pooling costs: anypool beside what a user would use instead. `python -m benchmarks`, or `make bench`."""
