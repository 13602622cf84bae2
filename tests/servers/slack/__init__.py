"""A stand-in for Slack: its Web API, its deliveries and its people, in a process of its own.

Started as `python -m tests.servers.slack`; written after Slack's published reference, and stricter than Slack
in one thing: every invalid request of the app is kept (`POST /_control/violations`), so that a test fails on
what Slack might let pass today.
"""
