"""`opportune worker`, `opportune check` and Faust's own command line."""
