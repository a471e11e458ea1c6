"""The user's folder as data: which files count, what they held at one moment, and a copy to work in."""
