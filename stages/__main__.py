"""``python -m stages``."""

from stages import app

app(prog_name="python -m stages")
