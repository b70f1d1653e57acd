from stages.console import guarded


@guarded
def command() -> None:
    """x."""
