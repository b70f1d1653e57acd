"""The review page: see, judge and correct what the pipeline made, in a browser on this machine.

``catalogue`` reads the narrow columns by which clips are found, ``query`` filters them by the address of a page,
``views`` and ``pages`` say what each page shows, ``pictures`` and ``video`` make the pictures of one clip, ``runs`` and
``alignment`` say what runs make of it; ``corrections`` and ``agreement`` write what people say; ``application`` serves
all of it behind ``guard``; ``export`` writes it as files.
"""
