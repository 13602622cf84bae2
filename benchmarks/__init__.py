"""The figures of the README, measured; `make bench` prints one JSON object a figure."""
