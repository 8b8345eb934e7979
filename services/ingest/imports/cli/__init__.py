"""The `import` command."""
