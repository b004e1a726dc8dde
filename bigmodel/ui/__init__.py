"""The page: one tab for each registered task, and the widgets that they share."""
