"""`python -m benchmarks cdnow`: who buys again, on real purchases, beside scikit-learn."""
