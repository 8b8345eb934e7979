"""The fake ingest."""

from tests.deploy.fakes.serve import serve

if __name__ == "__main__":
    serve("ingest")
