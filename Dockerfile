# Understudy in a container: docker compose up, or
#   docker build -t understudy . && docker run -p 127.0.0.1:8000:8000 -v understudy:/data understudy
# It listens beyond loopback, so it asks for a token: the owner's link is in its first log lines.

FROM node:22-slim AS web
WORKDIR /build/frontend
COPY frontend/package.json frontend/package-lock.json frontend/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY frontend/ ./
RUN npm run build

FROM python:3.11-slim AS build
WORKDIR /build
ENV VIRTUAL_ENV=/app PATH=/app/bin:$PATH UV_COMPILE_BYTECODE=1
COPY pyproject.toml constraints.txt ./
# The dependencies are a layer of their own, built again only when they change.
RUN python -m venv /app \
    && pip install --no-cache-dir uv==0.13.8 \
    && uv pip install --no-cache --constraints constraints.txt --requirements pyproject.toml --extra postgres \
        --extra claude --extra openai --extra mcp
COPY README.md LICENSE hatch_build.py ./
COPY src/ src/
COPY --from=web /build/src/understudy/web/dist/ src/understudy/web/dist/
RUN uv pip install --no-cache --no-deps . && uv pip uninstall uv

FROM python:3.11-slim
ENV PATH=/app/bin:$PATH PYTHONUNBUFFERED=1
COPY --from=build /app /app
RUN useradd --system --uid 10001 --home-dir /data --no-create-home understudy \
    && install --directory --owner understudy --mode 700 /data
USER 10001
# Also where understudy.toml and .env are looked for.
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"]
ENTRYPOINT ["understudy"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--data", "/data"]
