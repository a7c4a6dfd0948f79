"""Networks: features from x (encoder) and from z (decoder)."""
