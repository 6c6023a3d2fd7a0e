# The environment of `make study`, on CPUs: docker build -t study . && docker run -v "$PWD/runs:/study/runs" study
# With NVIDIA GPUs: docker build --build-arg CUDA=1 -t study . && docker run --gpus all --ipc=host -v "$PWD/runs:/study/runs" study
FROM python:3.12-slim
# If not empty, requirements-gpu.txt and the compiler that vLLM's kernels need are installed too.
ARG CUDA=
# A package index with CPU builds of torch makes the image several gigabytes smaller.
ARG PIP_EXTRA_INDEX_URL=
RUN apt-get update \
    && apt-get install -y --no-install-recommends make ${CUDA:+gcc libc6-dev} \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /study
# The files that determine the packages come first, so that changing a notebook does not reinstall them.
COPY Makefile pyproject.toml requirements.txt requirements-gpu.txt ./
COPY helpers/__init__.py helpers/
RUN PIP_NO_CACHE_DIR=1 make .venv/ready ${CUDA:+GPU_PACKAGES=requirements-gpu.txt}
COPY . .
RUN touch .venv/ready
# Downloads and results are stored in one folder, which the commands above mount from outside the container.
ENV HF_HOME=/study/runs/.cache/huggingface MODEL_CACHE=/study/runs/.cache/models
EXPOSE 8888
ENTRYPOINT ["make"]
CMD ["study"]
