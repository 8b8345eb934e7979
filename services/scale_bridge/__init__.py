"""Shop scales are driven safely, and what each of them really shows is known."""
