"""
What a guest gives to be shown in a page that has its reader's rights, made anew of what can do nothing there.

No bytes of a guest's markup reach the page: HTML is written with tags and styles of ours, SVG is written anew and
shown as a picture, pictures are what their first bytes say, formulas are made of commands that are known.
"""

from ._bundle import Shown, cleaned, shown

__all__ = ["Shown", "cleaned", "shown"]
