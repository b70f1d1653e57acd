"""Pictures of what the stages made: contact sheets, motion maps, alignment."""
