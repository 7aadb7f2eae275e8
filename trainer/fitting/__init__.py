"""From examples to weights: the feed, the losses, the fit of one network, its calibration."""
