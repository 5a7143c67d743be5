#!/bin/sh
# Brings 1,000 users with passwords into a system with a SCIM 2.0 API, keeps them in step there, and removes them:
#
#   sh scim.sh http://127.0.0.1:3000 create http://127.0.0.1:8080/scim/v2   creates the users and a target in usersync
#   sh scim.sh http://127.0.0.1:3000 sync                                   after that, and after each change of users
#   sh scim.sh http://127.0.0.1:3000 clear
#
# Set SCIM_TOKEN to the bearer token of the API, USERSYNC_KEY if usersync needs a key (scope admin), and USERS for another number of
# users. The last two print what the run did, and fail if it failed. Needs curl 7.76 or later.
set -eu

service=$1

# The key is sent through a pipe, because all users of the machine can see arguments.
call() {
  printf '%s' "${USERSYNC_KEY:+Authorization: Bearer $USERSYNC_KEY}" |
    curl --silent --show-error --fail-with-body --connect-timeout 10 --header @- "$@"
}

# Sends JSON through a file that only this user can read, because it contains the token.
post() {
  body=$(mktemp)
  printf '%s' "$2" >"$body"
  call --header 'content-type: application/json' --header 'prefer: wait=60' --data "@$body" "$service$1" || failed=$?
  rm -f "$body"
  return "${failed:-0}"
}

member() {
  sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"
}

# Waits for the end of a run.
follow() {
  id=$(member id)
  while :; do
    run=$(call "$service/v1/sync/runs/$id")
    [ "$(echo "$run" | member finished_at)" = null ] || break
    sleep 1
  done
  for name in status added_count updated_count deleted_count failure; do
    echo "$name $(echo "$run" | member $name)"
  done
  [ "$(echo "$run" | member status)" = succeeded ]
}

case ${2-} in
  create)
    batch=$(post /v1/batches '{"count": '"${USERS:-1000}"', "config": {"password": "TestPass123!"}}' | member id)
    echo "batch $batch"
    post /v1/targets "{\"name\": \"scim\", \"kind\": \"scim\", \"url\": \"$3\", \"key\": \"$SCIM_TOKEN\",
      \"preset\": \"user\", \"mapping\": {\"password\": {\"\$member\": \"password\"}},
      \"filter\": {\"batch_id\": \"$batch\"}}"
    echo
    ;;
  sync) post /v1/sync '{"target": "scim"}' | follow ;;
  clear) call --request POST "$service/v1/targets/scim/clear" | follow ;;
  *) sed -n '2,6p' "$0" >&2 && exit 2 ;;
esac
