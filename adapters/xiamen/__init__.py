"""Xiamen (白鹭分): its database is read over SQL by ``settings.toml`` alone, so no Python is needed here.

Whatever its platform may come to need beyond settings belongs here; nothing of another city does.
"""
