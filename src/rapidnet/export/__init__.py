"""From a trained network to artifacts that carry their proof."""
