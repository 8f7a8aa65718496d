"""The demo that `memocache demo` shows. It uses the public names of memocache only, as its users do."""
