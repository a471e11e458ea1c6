"""The protocol's areas, one file each. Every file has `register(server)`; handlers are short and never compute."""
