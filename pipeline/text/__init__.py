"""Captions, descriptions and cues: prompts, requests, answer parsing and checks, corrections by hand."""
