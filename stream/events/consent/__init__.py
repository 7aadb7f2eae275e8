"""What events say about consent, in the forms of those who send it, for each purpose of a campaign."""
