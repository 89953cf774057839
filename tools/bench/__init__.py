"""Measure the default project against two baselines that are made here, on the Docker engine at hand."""
