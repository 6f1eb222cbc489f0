"""HTML pages and plots of evaluations and of training rows."""
