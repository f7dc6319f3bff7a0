"""The model stream of docs/format.md: header and directory, shared objects, payloads."""
