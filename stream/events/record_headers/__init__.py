"""Record headers that paths of the campaign file name, beside what stands in the values of records."""
