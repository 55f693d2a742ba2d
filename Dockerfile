# Interpres in a container: built once, run without compilers, as a user without rights.
#
#   docker build -t interpres .
#   docker run -v ./config:/etc/interpres:ro -v interpres-data:/var/lib/interpres --network host interpres
#
# Node 22.13 and later bring SQLite themselves (node:sqlite), so the image needs no native package.
FROM node:26-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
COPY stubs ./stubs
RUN npm ci --omit=optional --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build && npm prune --omit=dev --omit=optional --ignore-scripts

FROM node:26-bookworm-slim
ENV NODE_ENV=production
RUN install -d -o node -g node -m 0700 /var/lib/interpres && install -d /etc/interpres
WORKDIR /opt/interpres
COPY --from=build /src/package.json ./
COPY --from=build /src/node_modules ./node_modules
COPY --from=build /src/stubs ./stubs
COPY --from=build /src/dist ./dist
USER node
VOLUME /var/lib/interpres
# SIP over UDP, TCP and TLS; XMPP server to server, plain and with TLS from the start; health.
EXPOSE 5060/udp 5060/tcp 5061/tcp 5269/tcp 5270/tcp 8080/tcp
# `http.listen` of the configuration decides the port; HEALTH_URL follows it where it is another.
ENV HEALTH_URL=http://127.0.0.1:8080/health
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch(process.env.HEALTH_URL).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Node runs as PID 1 here and handles SIGTERM itself: it drains and ends with 0 within 10 s.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/main.js"]
CMD ["serve", "--config", "/etc/interpres/interpres.yaml"]
