"""What reinforcement learning practises: scenarios, what is known of them, and their file."""
