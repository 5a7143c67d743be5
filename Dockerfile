# The service alone; its PostgreSQL is another container or server, named by DATABASE_URL (docker-compose.yml has both).
# `npm run release` builds this image and runs it.

FROM node:24.21.0-bookworm-slim AS node

FROM node AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY patches patches
# Optional are the embedded PostgreSQL and Node, which are not wanted here, and piscina's priorities of threads, which are not
# used. No other dependency has an install script: the only one that runs is the project's, which patches the driver.
# Source maps and types are 29 of 78 MB, and nothing reads them.
RUN npm ci --omit=dev --omit=optional \
  && find node_modules -name '*.map' -delete -o -name '*.d.ts' -delete -o -name '*.d.[cm]ts' -delete

FROM node
# Listening on every address, the service refuses to start without API_KEYS.
ENV NODE_ENV=production HOST=0.0.0.0 DATA_DIR=/data
# A container with a user id of its own (docker run --user 12345, OpenShift) is in the group root.
RUN install --directory --owner=node --group=root --mode=0770 /data
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
