"""Face crops: T instants of a clip, one face tracked through them, cropped so that a still head gives a still crop.

``step`` is the stage; the data pass through ``detectors`` (faces in a frame), ``tracking`` (one face through the
clip) and ``cropping`` (boxes to images).
"""
