"""What a data set will cost before anything runs: a few of its clips taken through every stage, timed and weighed.

``sample`` finds clips, also where nothing is indexed; ``trial`` takes them through the stages; ``machine`` says what
there is to run on; ``costs`` extrapolates.
"""
