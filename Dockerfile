# Peakmark with JupyterLab, for processors; for NVIDIA GPUs: --build-arg TORCH=cu128 (any CUDA that PyTorch is built for).
# docs/installing.md has the commands.
ARG PYTHON=3.11
FROM python:${PYTHON}-slim-bookworm

# The shell's pipes fail where a part of them fails, and pip leaves nothing behind.
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

WORKDIR /opt/peakmark
COPY constraints.txt ./
# By itself, before the sources: a change of them doesn't load gigabytes again.
ARG TORCH=cpu
RUN pip install --constraint constraints.txt --index-url "https://download.pytorch.org/whl/${TORCH}" torch

COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --constraint constraints.txt ".[onnx,track,watch,tables,tensorboard,tune,jupyter]"

# Everything is readable to whoever is given with --user, so that the files of a run belong to them.
COPY examples ./examples
RUN mkdir /work && chmod 1777 /work
USER 1000
# Such a user has no home; Jupyter, Matplotlib and Peakmark's cache want a place.
ENV HOME=/tmp
WORKDIR /work

EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]
