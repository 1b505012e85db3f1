# An image that detects: `docker build --tag uncrowd .`, then as docs/deploy.md says.
# It computes on the CPU. Weights and images are mounted when it runs.
FROM python:3.12-slim AS build

# The address of PyTorch's index of wheels for CPUs. Without it, pip gets those for CUDA on x86, which take 5 GB more. It
# is asked beside the default index, which has all else; of a pinned version pip prefers the wheel for CPUs, `+cpu`.
ARG TORCH_INDEX=""

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/uncrowd
ENV PATH=/opt/uncrowd/bin:$PATH

WORKDIR /source
COPY constraints.txt ./
RUN pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --constraint constraints.txt torch torchvision
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --constraint constraints.txt .


FROM python:3.12-slim

COPY --from=build /opt/uncrowd /opt/uncrowd
ENV PATH=/opt/uncrowd/bin:$PATH PYTHONUNBUFFERED=1

# The folder in which a command finds what is mounted, and to which results go.
RUN useradd --create-home uncrowd && mkdir /work && chown uncrowd /work
USER uncrowd
WORKDIR /work

ENTRYPOINT ["uncrowd"]
CMD ["--help"]
