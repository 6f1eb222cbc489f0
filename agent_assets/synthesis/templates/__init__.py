"""Templates of questions and answers, and how they are rendered."""
