"""One interface to every model, and the models behind it.

Owns `Brain`, the choice of a brain (`router`) and one module or package per provider. Does not
own what a brain is told or what becomes of its words (`engine`).
"""
