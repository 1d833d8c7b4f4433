# One image for the gateway and for every city's adapter; the command says which. Nothing secret is built in.
FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
RUN python -m venv /opt/tiergate
COPY requirements.txt ./
RUN /opt/tiergate/bin/pip install --require-hashes -r requirements.txt
COPY LICENSE README.md pyproject.toml requirements.in requirements-dev.in ./
COPY gateway gateway
COPY adapters adapters
RUN /opt/tiergate/bin/pip install --no-deps --no-build-isolation .

FROM python:3.13-slim-trixie
LABEL org.opencontainers.image.title="tiergate" org.opencontainers.image.licenses="Apache-2.0"
# one folder per trust domain, so that a fresh volume mounted there belongs to the user who runs the process
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent tiergate \
    && install -d -o tiergate -g tiergate -m 0700 \
       /var/lib/tiergate/gateway /var/lib/tiergate/fuzhou /var/lib/tiergate/xiamen /var/lib/tiergate/operators
COPY --from=build /opt/tiergate /opt/tiergate
COPY policies /opt/tiergate/policies
ENV PATH=/opt/tiergate/bin:$PATH PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/tiergate
ENTRYPOINT ["tiergate"]
CMD ["--help"]
