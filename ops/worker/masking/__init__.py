"""The masking: what there is to be masked, whether every part of it has its rule, and the copy that follows them."""
