"""Listing, counting and reconciliation of clips."""
