"""The calculator: materials, margins, and products made of a calculation."""
