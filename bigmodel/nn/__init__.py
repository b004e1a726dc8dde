"""The transformer: one readable implementation that every task uses. Imports nothing of the project but config."""
