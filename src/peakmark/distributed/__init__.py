"""Which processes compute this run together? The one room that knows `torch.distributed`, and the only thing it does
with it is to move bytes: no library adds a number here, so no number depends on how many processes there are.

Begin with `processes.py`. It must not know what is trained.
"""
