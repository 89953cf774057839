"""Measure the default project beside the same project with the Dockerfile of most tutorials."""
