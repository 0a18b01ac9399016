"""A genuine Kubernetes for the tests: see README.md of the folder above."""
