"""What was used and what it cost: daily facts and the questions asked of them."""
