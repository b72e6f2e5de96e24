# SalesOS as an image: `docker build --tag salesos .`. It is linted, but it was not built.
#
#   docker run --rm --env-file .env salesos migrate
#   docker run --rm --env-file .env --publish 3000:3000 salesos serve --listen 0.0.0.0
#   docker run --rm --env-file .env --volume salesos:/data salesos worker --all
#
# .env names DATABASE_URL, JWT_SECRET, ENCRYPTION_KEY and, where events go to Kafka, KAFKA_…: .env.example lists all.
FROM rust:1.95.0-bookworm AS build
WORKDIR /salesos
COPY . .
# What the checked queries know of the database stands in .sqlx.
ENV SQLX_OFFLINE=true
RUN cargo build --locked --profile dist --features kafka-tls

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates=20230311* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /data --create-home salesos
COPY --from=build /salesos/target/dist/salesos /usr/local/bin/salesos
USER salesos
WORKDIR /data
ENV SALESOS_DATA_DIR=/data SALESOS_ENV=production
EXPOSE 3000
ENTRYPOINT ["salesos"]
CMD ["serve", "--listen", "0.0.0.0"]
