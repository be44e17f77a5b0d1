"""The contestants of the speed comparison, each in a process of its own, and what is made of their times."""
