"""Search for the structure, optimizer and loss of a network: `[search]` of the campaign file.

Rules of this package
1. Models are compared by the log loss of their probabilities on later examples, whatever they were
   trained to minimize: a focal loss and a cross-entropy are no numbers of one kind. All are calibrated
   alike before, on other customers than those that compare them.
2. The campaign file's own settings are tried first, so a search finds nothing worse than them.
3. What a trial is depends on the seed and the trials before it alone: a search that was interrupted
   and goes on tries what it would have tried.

`trainer.search.search` runs a search, `trainer.search.found` is what comes out.
"""
