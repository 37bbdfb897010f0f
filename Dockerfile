# One image per process: docker build --build-arg NAME=converter --tag pulsegate/converter .
# NAME is gateway or a folder of services/. Pin BASE by digest for builds that must repeat.
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /source
ARG NAME
COPY pyproject.toml requirements.lock ./
COPY deploy/container.py deploy/
# hadolint ignore=DL3008,SC2046
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
    && python3 deploy/container.py debian "$NAME" > /debian \
    && apt-get install --yes --no-install-recommends $(cat /debian)

# uv in its locked release; everything after it is checked against the hashes of the lock as well. The Ice runtime is
# Debian's, which the environment sees as a system package.
RUN python3 -m venv /uv \
    && awk '/^[^ ]/ { wanted = /^uv==/ } wanted' requirements.lock > /uv/lock \
    && /uv/bin/pip install --quiet --no-cache-dir --require-hashes --requirement /uv/lock \
    && echo 'zeroc-ice ; sys_platform == "never"' > /uv/overrides
ENV UV_NO_CACHE=1 UV_LINK_MODE=copy UV_PYTHON=/app UV_COMPILE_BYTECODE=1 UV_SYSTEM_CERTS=1
RUN /uv/bin/uv venv --quiet --python /usr/bin/python3 --system-site-packages /app \
    && /uv/bin/uv pip install --quiet --require-hashes --constraints requirements.lock --overrides /uv/overrides \
        --requirements pyproject.toml --extra "$NAME" --extra otel \
    && python3 deploy/container.py groups "$NAME" | xargs --no-run-if-empty -I{} \
        /uv/bin/uv pip install --quiet --no-deps --require-hashes --constraints requirements.lock --group {}

COPY . .
RUN /uv/bin/uv build --quiet --wheel --python /usr/bin/python3 --build-constraints requirements.lock --require-hashes \
        --out-dir /wheel \
    && /uv/bin/uv pip install --quiet --no-deps /wheel/*.whl \
    && /app/bin/python -m deploy.container write "$NAME" /app/etc

FROM ${BASE}
ARG NAME
ARG VERSION=0.1.0
ARG REVISION=unknown
# hadolint ignore=DL3008,SC2046
RUN --mount=type=bind,from=build,source=/debian,target=/debian \
    apt-get update \
    && apt-get install --yes --no-install-recommends python3 $(cat /debian) \
    && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/pulsegate --shell /usr/sbin/nologin pulsegate \
    && install --directory --owner pulsegate --group pulsegate /var/lib/pulsegate
COPY --from=build /app /app
ENV PATH=/app/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PULSEGATE_CONFIG=/app/etc/settings.json \
    PULSEGATE_PROCESS=${NAME}
LABEL org.opencontainers.image.title="pulsegate-${NAME}" \
    org.opencontainers.image.description="Pulsegate: the process ${NAME}" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}"
USER 10001:10001
WORKDIR /var/lib/pulsegate
# For the backends this is `pulsegate healthcheck` on their own port.
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["/app/etc/health"]
ENTRYPOINT ["/bin/sh", "-c", "exec pulsegate \"$PULSEGATE_PROCESS\" \"$@\"", "pulsegate"]
