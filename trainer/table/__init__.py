"""Files of customers as history: columns to examples, examples to columns, a model applied to rows."""
