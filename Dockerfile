# The service alone; its PostgreSQL is another container or server, named by DATABASE_URL (docker-compose.yml has both).

FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY patches patches
# Optional are the embedded PostgreSQL and Node, which are not wanted here, and piscina's priorities of threads, which are not
# used. No other dependency has an install script: the only one that runs is the project's, which patches the driver.
RUN npm ci --omit=dev --omit=optional

FROM node:24-slim
# Listening on every address, the service refuses to start without API_KEYS.
ENV NODE_ENV=production HOST=0.0.0.0 DATA_DIR=/data
RUN install --directory --owner=node --group=node --mode=0700 /data
VOLUME /data
WORKDIR /app
COPY --from=dependencies /app/node_modules node_modules
COPY package.json ./
COPY migrations migrations
COPY src src
COPY ui ui
# src/preload.cjs keeps compiled code in node_modules/.cache. Filled here, as the user that runs the service, because the image is
# read-only later.
RUN install --directory --owner=node --group=node node_modules/.cache
USER node
RUN node --require ./src/preload.cjs --eval "import('./src/service.ts')"
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["node", "--eval", "fetch(`http://127.0.0.1:${process.env.PORT || 3000}/readyz`, { signal: AbortSignal.timeout(4000) }).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--min-semi-space-size=4", "--require", "./src/preload.cjs", "src/server.ts"]
