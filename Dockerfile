# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build
# Brokers that the hub is to reach, with commas between: aws, kafka, nats, rabbitmq, redis.
ARG EXTRAS=""
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN python -m venv /opt/scimhub \
 && /opt/scimhub/bin/python -m pip install --no-cache-dir -c constraints.txt ".${EXTRAS:+[$EXTRAS]}"

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin scimhub \
 && install -d -o scimhub -g scimhub -m 0700 /data
COPY --from=build /opt/scimhub /opt/scimhub
# Off loopback the hub refuses plain HTTP: give it TLS files, or name the proxies in front of it (docs/settings.md).
ENV PATH=/opt/scimhub/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SCIMHUB_HOST=0.0.0.0 \
    SCIMHUB_PORT=8080 \
    SCIMHUB_DATA=/data
USER scimhub
WORKDIR /data
VOLUME /data
EXPOSE 8080
# The probe asks over the scheme that the hub serves; a certificate for another name is no sign of illness.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["python", "-c", "import os, ssl, urllib.request as u; \
tls = bool(os.environ.get('SCIMHUB_TLS_CERTIFICATE')); \
u.urlopen(f\"{'https' if tls else 'http'}://127.0.0.1:{os.environ['SCIMHUB_PORT']}/healthz\", timeout=2, \
context=ssl._create_unverified_context() if tls else None)"]
# One process owns the database file, so there is one server process; SIGTERM lets it finish what is in flight.
CMD ["scimhub", "serve"]
