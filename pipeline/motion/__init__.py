"""Motion maps: where the face moves, without head, camera and cuts."""
