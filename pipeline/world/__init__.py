"""The rendered world: drawn faces moved by action units, with ground truth of every action and region."""
