"""Which processes compute this run together? The one room that knows `torch.distributed`, and the only thing it does
with it is to move bytes: no library adds a number here, so no number depends on how many processes there are.

Knows no other room but `errors`. Begin with processes.py; process_group.py does what it says over gloo and NCCL,
launching.py starts processes on this machine.
"""
