"""Three pocket models of the rendered world (CLIP, vision-language, language), and the code that builds them."""
