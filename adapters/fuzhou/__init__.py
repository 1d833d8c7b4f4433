"""Fuzhou (茉莉分): its platform is read over HTTP by ``settings.toml`` alone, so no Python is needed here.

Whatever its platform may come to need beyond settings belongs here; nothing of another city does.
"""
