"""What strategies earn while they run: customers that were treated beside those that were held out."""
