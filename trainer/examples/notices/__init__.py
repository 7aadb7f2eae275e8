"""What whoever trains is told about a history and its examples, in sentences without their stop."""
