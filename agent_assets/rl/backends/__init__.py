"""What trains a policy: our trainer, ART's LocalBackend, or ms-swift's GRPO."""
