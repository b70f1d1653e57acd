"""Captions, descriptions and cues: prompts, requests, parsing and checking of answers, corrections by hand."""
