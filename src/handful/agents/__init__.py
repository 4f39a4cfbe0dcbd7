"""What learns from trials."""
