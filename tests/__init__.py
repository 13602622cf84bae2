"""The tests mirror the folders; `make test` runs them all."""
