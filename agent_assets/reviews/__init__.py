"""What people said of answers and of training rows."""
