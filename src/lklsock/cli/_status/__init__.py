"""The command `status`: what it shows, and how."""
