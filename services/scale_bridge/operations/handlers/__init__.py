"""Operations from the request to the end, and the worker that executes them."""
