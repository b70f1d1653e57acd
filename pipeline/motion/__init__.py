"""Motion maps: where a face moves by itself, not with the head, the camera, the light or a cut.

``step`` is the stage, ``maps`` turns the crops of a clip into motion maps, ``registration`` finds the motion of the
head that they leave out.
"""
