"""One script per claim: ``python -m benchmarks.<script> [--quick]``, from the project's folder."""
