"""What the APIs of clouds have in common, whoever asks them."""
