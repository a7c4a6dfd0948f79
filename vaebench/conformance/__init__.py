"""Does what a plugin brings keep the promises of its kind? Small trials, in seconds, each with what was expected."""
