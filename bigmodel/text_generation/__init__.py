"""Text that goes on from a prompt: stories in English, classical poems in Chinese."""
