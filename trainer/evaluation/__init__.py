"""How well a model predicts what it has not seen, and how sure that is.

`judged` and `thresholds` say what is judged, `evaluate` judges it, `evaluation` is the result;
`trainer.report.report` shows it to people.

Rules of this package
1. Only the strategy that was used is judged: what others would have led to is not in the data.
2. Every number has an interval, from resampled customers.
3. What is judged decides nothing about how: thresholds, slices and rules come from elsewhere.
"""
