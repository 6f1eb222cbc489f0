"""What leaves the installation: an agent's model as files for other programs, and as a bundle."""
