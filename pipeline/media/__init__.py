"""Video and image decoding."""
