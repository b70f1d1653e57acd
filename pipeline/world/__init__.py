"""The rendered world: drawn faces moved by action units, with ground truth of every action and region.

For use from Python: ``world.make_world`` and ``world.make_clip`` write clips; ``sampling.sample_clips`` lists a world's
clips; ``scenario.sample_scenario`` draws one clip at random, and ``render.render`` renders its frames;
``sentences.coarse_caption``, ``fine_description`` and ``cues`` describe it; ``actions`` is the vocabulary.
"""
