"""A Kubernetes API server for the tests: a process of its own, with the shapes of the published API.

What it answers follows the API reference (kubernetes.io/docs/reference/using-api) and the messages of
k8s.io/apimachinery/pkg/api/errors. Small controllers take rollouts forward, one step at a time.
"""
