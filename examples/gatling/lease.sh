#!/bin/sh
# Leases accounts for one injector of Gatling into the file accounts.json, keeps them while a command runs, and returns them:
#
#   USERSYNC_URL=http://127.0.0.1:3000 sh lease.sh 500 mvn gatling:test -Dgatling.simulationClass=LeasedUsersSimulation
#
# Each injector runs this on its own machine, and has other accounts. USERSYNC_KEY, USERSYNC_POOL.
set -eu
URL=${USERSYNC_URL:-http://127.0.0.1:3000}
TTL=${TTL:-120}
WAIT=${WAIT:-30} # seconds to wait for accounts
count=$1
shift

post() { # PATH JSON
  if [ -n "${USERSYNC_KEY:-}" ]; then
    # The key goes to curl by its standard input, so that no list of processes shows it.
    printf 'header = "authorization: Bearer %s"\n' "$USERSYNC_KEY" |
      curl --silent --show-error --fail-with-body --config - --header 'content-type: application/json' --data "$2" "$URL$1?pool=${USERSYNC_POOL:-default}"
  else
    curl --silent --show-error --fail-with-body --header 'content-type: application/json' --data "$2" "$URL$1?pool=${USERSYNC_POOL:-default}"
  fi
}

umask 077
lease=$(post /v1/leases "{\"count\": $count, \"ttl_seconds\": $TTL, \"wait_seconds\": $WAIT, \"include\": [\"password\"]}") || {
  printf '%s\n' "$lease" >&2
  exit 1
}
id=$(printf '%s' "$lease" | sed 's/^{"id":"\([^"]*\)".*/\1/')
fence=$(printf '%s' "$lease" | sed 's/^{"id":"[^"]*","fence":\([0-9]*\).*/\1/')
# The users are the last member of the response.
printf '%s' "$lease" | sed 's/^{"id":"[^"]*","fence":[0-9]*,"expires_at":"[^"]*","users"://; s/}$//' >accounts.json

# Ends with this script, also if that is killed. Its output is not ours: the last sleep outlives this script, and would keep the caller
# waiting for the end of the output.
(while sleep $((TTL / 3)) && kill -0 $$; do post "/v1/leases/$id/renew" "{\"fence\": $fence, \"ttl_seconds\": $TTL}" || true; done) >/dev/null 2>&1 &
renewal=$!
trap 'kill $renewal; rm -f accounts.json; post "/v1/leases/$id/return" "{\"fence\": $fence, \"outcome\": \"clean\"}" >/dev/null' EXIT
trap 'exit 130' INT TERM
"$@"
