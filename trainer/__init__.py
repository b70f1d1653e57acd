"""Cached tensors to a classifier: model, alignment, losses, loop, metrics, protocol."""
