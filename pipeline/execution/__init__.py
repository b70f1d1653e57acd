"""How a step runs over the shards of a data set: step protocol, runner, local processes, Ray."""
