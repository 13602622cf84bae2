"""A container engine as its HTTP API shows it: a strict stand-in over a unix socket, a process of its own.

It follows the Docker Engine API reference 1.43 (docs.docker.com/reference/api/engine/version/v1.43) for the calls that
it has: what is no documented path or parameter is refused with 400, and counts as a fault of the test.
"""
