"""Pictures of what the stages made: contact sheets of crops, tracks and motion maps, and the alignment of words."""
