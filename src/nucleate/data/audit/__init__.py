"""A data set looked over: what is wrong with it, what one should know of it, and its statistics.

`facts` is what each image leaves behind while its pixels are at hand, `findings` and `report` what follows from them,
`pages` the files for people.
"""

from __future__ import annotations
