"""What an operator should know at once: noticed, counted, sent to a webhook. Never about whom."""
