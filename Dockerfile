# The environment of `make study`, on CPUs: docker build -t study . && docker run -v "$PWD/runs:/study/runs" study
# With NVIDIA GPUs: docker build --build-arg CUDA=1 -t study . && docker run --gpus all --ipc=host -v "$PWD/runs:/study/runs" study
FROM python:3.12-slim
# Anything but empty installs requirements-gpu.txt as well, and the compiler that vLLM's kernels need.
ARG CUDA=
# An index with CPU builds of torch makes the image smaller by gigabytes.
ARG PIP_EXTRA_INDEX_URL=
RUN apt-get update \
    && apt-get install -y --no-install-recommends make ${CUDA:+gcc libc6-dev} \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /study
# What decides the packages comes first, so that a changed notebook does not install them again.
COPY Makefile pyproject.toml requirements.txt requirements-gpu.txt ./
COPY helpers/__init__.py helpers/
RUN PIP_NO_CACHE_DIR=1 make .venv/ready ${CUDA:+GPU_PACKAGES=requirements-gpu.txt}
COPY . .
RUN touch .venv/ready
# Downloads and results lie in one folder, which the commands above keep outside the container.
ENV HF_HOME=/study/runs/.cache/huggingface MODEL_CACHE=/study/runs/.cache/models
EXPOSE 8888
ENTRYPOINT ["make"]
CMD ["study"]
