FROM python:3.13-slim AS build
ARG SOURCE_DATE_EPOCH
ENV PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ROOT_USER_ACTION=ignore
# One tree for all byte code, that of Python itself too: the base has none, and a read-only root would never get any.
ENV PYTHONPYCACHEPREFIX=/opt/exporter/bytecode
WORKDIR /src
COPY requirements-build.lock requirements.lock ./
RUN python -m venv --without-pip /opt/exporter \
    && python -m venv --without-pip /opt/build \
    && python -m pip --python /opt/exporter/bin/python install \
        --require-hashes --only-binary :all: --requirement requirements.lock \
    && python -m pip --python /opt/build/bin/python install \
        --require-hashes --only-binary :all: --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
# The byte code is never compared with its source: neither changes in an image, and a time in it would differ from build to build.
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /wheels \
    && python -m pip --python /opt/exporter/bin/python install --no-deps --no-index /wheels/*.whl \
    && rm -rf "${PYTHONPYCACHEPREFIX}" \
    && /opt/exporter/bin/python -m compileall -q --invalidation-mode unchecked-hash \
        -x '^/usr/.*/(ensurepip|idlelib|site-packages|tkinter|turtledemo)/' \
        "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" /opt/exporter/lib \
    && mkdir /data

FROM python:3.13-slim
COPY --from=build /opt/exporter /opt/exporter
COPY --from=build --chown=65532:65532 /data /data
ENV PATH=/opt/exporter/bin:$PATH PYTHONPYCACHEPREFIX=/opt/exporter/bytecode PYTHONDONTWRITEBYTECODE=1
WORKDIR /data
USER 65532:65532
VOLUME /data
EXPOSE 10078
# Any answer but 503 is a sign of life, that of a password too; docs/image.md has the check for TLS.
HEALTHCHECK --interval=30s --timeout=5s --start-period=1m --retries=3 CMD ["/opt/exporter/bin/python", "-c", "\
import http.client, sys; \
sys.tracebacklimit = 0; \
connection = http.client.HTTPConnection('127.0.0.1', 10078, timeout=4); \
connection.request('GET', '/-/healthy'); \
answer = connection.getresponse(); \
print(answer.status, answer.read().decode()); \
raise SystemExit(answer.status == 503)"]
ENTRYPOINT ["/opt/exporter/bin/cognito-auth-exporter"]
CMD ["--config.file=/etc/cognito-auth-exporter/config.yaml"]

# Last, as they differ from build to build; `make image` gives them.
ARG VERSION
ARG REVISION
ARG CREATED
ENV COGNITO_AUTH_EXPORTER_REVISION=${REVISION}
LABEL org.opencontainers.image.title="cognito-auth-exporter" \
    org.opencontainers.image.description="Prometheus exporter for the auth events of Amazon Cognito's threat protection" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.source="https://github.com/cognito-auth-exporter/cognito-auth-exporter" \
    org.opencontainers.image.documentation="https://github.com/cognito-auth-exporter/cognito-auth-exporter/blob/main/docs/image.md" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.base.name="docker.io/library/python:3.13-slim"
