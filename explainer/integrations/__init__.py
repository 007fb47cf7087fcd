"""Bridges to other people's tools, one file each; nothing here is loaded before it is asked for."""
