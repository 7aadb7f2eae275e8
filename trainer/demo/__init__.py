"""`opportune demo`: a broker, a trainer and a worker on a year of grocery shopping."""
