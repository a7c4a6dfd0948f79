"""What is maximised: one small module for each idea."""
