"""The campaign file: its sections, its words, what is wrong with one, the options that name one."""
