# docker build -t watchbell .
FROM python:3.11-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/watchbell
ENV PATH=/opt/watchbell/bin:$PATH
WORKDIR /src
# The lock first: this layer stays as long as no dependency changes.
COPY requirements.lock ./
RUN pip install --no-deps --require-hashes -r requirements.lock
COPY . .
# The lock holds the tools of the tests too; the image does without the large ones.
RUN pip install --no-deps --no-build-isolation . \
 && pip uninstall -y hypothesis mypy playwright pre-commit pytest pytest-asyncio pytest-xdist ruff virtualenv

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data watchbell \
 && install -d -o watchbell -g watchbell -m 0700 /data
COPY --from=build /opt/watchbell /opt/watchbell
ENV PATH=/opt/watchbell/bin:$PATH PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib
USER watchbell
VOLUME /data
EXPOSE 8080
# slim has no curl
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["watchbell", "run", "--config", "/etc/watchbell/watchbell.yaml", "--data", "/data"]
