"""What deploys call; one noun a file, as in pyinfra."""
