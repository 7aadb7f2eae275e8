"""What a training did and how good its model is: JSON for programs, a page of HTML for people."""
