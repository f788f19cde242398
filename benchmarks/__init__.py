"""Compare `rio mucho` with its peers: ``python -m benchmarks``."""
