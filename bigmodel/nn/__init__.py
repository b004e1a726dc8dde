"""The transformer: one readable implementation that every task uses. Of the project it imports config and errors."""
