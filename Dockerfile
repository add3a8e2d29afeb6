# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/exporter \
    && python -m pip install --no-cache-dir --no-compile --require-hashes --only-binary :all: \
        --prefix /opt/exporter --requirement requirements.lock

FROM python:3.13-slim
ARG REVISION=""
ENV COGNITO_AUTH_EXPORTER_REVISION=${REVISION} PYTHONDONTWRITEBYTECODE=1
COPY --from=build /opt/exporter /opt/exporter
COPY exporter /opt/exporter/app/exporter
ENV PYTHONPATH=/opt/exporter/app
RUN mkdir --parents /data /etc/cognito-auth-exporter && chown 65532:65532 /data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 10078
ENTRYPOINT ["/opt/exporter/bin/python", "-m", "exporter"]
CMD ["--config.file=/etc/cognito-auth-exporter/config.yaml"]
