"""What the pages of the documentation say of the program, told by the program itself.

A page is written by hand but for its marked parts: `<!-- made: NAME -->` to `<!-- /made -->`. `python3 scripts/docs --write`
makes those again; a test compares.
"""
