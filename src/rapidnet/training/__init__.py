"""Training: one loop, its task, its optimizer, its checkpoints."""
