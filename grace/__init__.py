"""GRACE: from raw face clips to an honestly evaluated emotion classifier, offline."""
