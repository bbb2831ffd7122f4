"""Speed beside peers: `python -m bench.run` prints the table, `python -m bench.gate` judges it. See docs/howto/run-the-benchmark.md."""
