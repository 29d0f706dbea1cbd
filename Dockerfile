# syntax=docker/dockerfile:1
# The image of every Epochgate process. The first stage builds, the second only runs: it holds the
# interpreter, the packages of requirements.lock and this package with its hot path compiled, and
# neither pip nor a compiler.
#
#   docker build -t epochgate .
#   docker run --read-only --cap-drop ALL -v config:/etc/epochgate:ro -v state:/var/lib/epochgate epochgate
#
# For a release, name the base by digest: --build-arg BASE=python:3.11-slim-bookworm@sha256:...
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN apt-get update \
 && apt-get install -y --no-install-recommends gcc libc6-dev

# The build backend comes out of a lock too. This environment stays behind in this stage.
COPY requirements-dev.lock ./
RUN python -m venv tools \
 && tools/bin/pip install --require-hashes -r requirements-dev.lock

COPY requirements.lock ./
RUN python -m venv --without-pip /opt/epochgate \
 && tools/bin/pip --python /opt/epochgate/bin/python install --no-compile --require-hashes \
      -r requirements.lock

COPY pyproject.toml LICENSE README.md* ./
COPY sidecar sidecar
# Bytecode is made now, because the root file system is read-only later; it is never checked against
# its source again, because nothing there can change.
RUN HATCH_BUILD_HOOK_ENABLE_MYPYC=true \
      tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && tools/bin/pip --python /opt/epochgate/bin/python install --no-compile --no-deps --no-index dist/*.whl \
 && /opt/epochgate/bin/python -m compileall -q -f --invalidation-mode unchecked-hash \
      /opt/epochgate/lib

FROM ${BASE} AS sidecar
RUN groupadd --gid 17117 epochgate \
 && useradd --uid 17117 --gid 17117 --no-create-home --home-dir /var/lib/epochgate \
      --shell /usr/sbin/nologin epochgate \
 && install -d -o 17117 -g 17117 -m 0700 /var/lib/epochgate \
 && install -d -m 0755 /etc/epochgate
COPY --from=build /opt/epochgate /opt/epochgate

# The one place that is written: marks that must survive a restart, and the audit journal.
VOLUME /var/lib/epochgate
WORKDIR /var/lib/epochgate
# A number, so that Kubernetes can see for itself that this is not root (runAsNonRoot).
USER 17117:17117
ENV PATH=/opt/epochgate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# -I: neither the environment nor the working directory, which is writable, can add code to import.
# It hides the two PYTHON variables above as well, hence -B and -u.
ENTRYPOINT ["/opt/epochgate/bin/python", "-I", "-B", "-u", "-m", "sidecar", "run"]
CMD ["sidecar", "--config", "/etc/epochgate/sidecar.yaml"]

# docker build --target intercept -t epochgate-intercept .
# For the init container that puts the rules of `epochgate intercept` in force; it ends before traffic
# comes. The gate itself has no nft and no use for it.
FROM sidecar AS intercept
USER 0:0
RUN apt-get update \
 && apt-get install -y --no-install-recommends nftables \
 && rm -rf /var/lib/apt/lists/*
ENTRYPOINT ["/opt/epochgate/bin/python", "-I", "-B", "-u", "-m", "sidecar", "intercept"]
CMD ["--help"]

# Without --target: the gate.
FROM sidecar
