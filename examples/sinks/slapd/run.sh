#!/bin/sh
# Users of usersync log in to an OpenLDAP directory: starts slapd in a temporary folder, creates users and a target, runs it, logs in
# as a user, and removes everything. Needs Debian's slapd, ldap-utils and curl, and a service without keys, or the key in USERSYNC_KEY.
#
#   sh run.sh http://127.0.0.1:3000 [users]
set -eu
service=${1:?usage: sh run.sh http://127.0.0.1:3000 [users]} users=${2:-1000}
PATH=$PATH:/usr/sbin
target=slapd-example-$$
port=${LDAP_PORT:-3890}
directory=ldap://127.0.0.1:$port
admin=cn=admin,dc=example,dc=com
root=$(dirname "$(command -v slapd)")/../..

folder=$(mktemp -d)
slapd=
trap 'kill $slapd 2>/dev/null && wait $slapd; rm -rf "$folder"' EXIT
mkdir "$folder/data"
cat >"$folder/slapd.conf" <<END
include $root/etc/ldap/schema/core.schema
include $root/etc/ldap/schema/cosine.schema
include $root/etc/ldap/schema/inetorgperson.schema
modulepath $root/usr/lib/ldap
moduleload back_mdb.so
moduleload argon2.so
database mdb
suffix dc=example,dc=com
directory $folder/data
rootdn $admin
rootpw secret
index objectClass,uid,employeeNumber eq
END
slapd -d 0 -f "$folder/slapd.conf" -h "$directory/" &
slapd=$!
while sleep 0.3; do
  kill -0 $slapd 2>/dev/null || { echo "slapd does not start. Is port $port free? LDAP_PORT names another." >&2; exit 1; }
  ldapwhoami -x -H "$directory" >/dev/null 2>&1 && break
done
ldapadd -x -H "$directory" -D $admin -w secret >/dev/null <<END
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people
END

# call METHOD PATH [JSON]: calls the service, and prints its answer.
call() {
  curl -sS --fail-with-body -X "$1" "$service$2" -H 'content-type: application/json' -H 'prefer: wait=60' \
    ${USERSYNC_KEY:+-H "authorization: Bearer $USERSYNC_KEY"} ${3:+-d "$3"}
}
id_of() { sed 's/.*"id":"\([^"]*\)".*/\1/'; }
# finish PATH JSON: queues a run of the target, and waits for its end.
finish() {
  id=$(call POST "$1" "$2" | id_of)
  until call GET "/v1/sync/runs/$id" >"$folder/run" && ! grep -q '"finished_at":null' "$folder/run"; do sleep 0.2; done
  grep -q '"status":"succeeded"' "$folder/run" || { cat "$folder/run" >&2; exit 1; }
}
search() {
  ldapsearch -x -LLL -o ldif-wrap=no -E pr=400/noprompt -H "$directory" -D $admin -w secret -b ou=people,dc=example,dc=com "$1" 1.1
}

batch=$(call POST /v1/batches "{\"count\": $users, \"config\": {\"username_pattern\": \"ldap{n}_{id}@example.com\",
  \"password\": \"TestPass123!\", \"password_hash\": {\"preset\": \"openldap\"}}}" | id_of)
call POST /v1/targets "{\"name\": \"$target\", \"kind\": \"ldap\", \"url\": \"$directory\", \"key\": \"secret\",
  \"preset\": \"inetorgperson\", \"mapping\": {\"bind_dn\": \"$admin\", \"base\": \"ou=people,dc=example,dc=com\"},
  \"filter\": {\"batch_id\": \"$batch\"}}" >/dev/null
finish /v1/sync "{\"target\": \"$target\"}"
echo "$(search '(employeeNumber=*)' | grep -c ^dn:) users in the directory"

dn=$(search '(uid=ldap1_*)' | sed -n 's/^dn: //p')
echo "logged in as $(ldapwhoami -x -H "$directory" -D "$dn" -w 'TestPass123!')"
! ldapwhoami -x -H "$directory" -D "$dn" -w 'wrong' 2>/dev/null || { echo 'a wrong password logs in' >&2; exit 1; }

finish /v1/targets/$target/clear '{}'
echo "$(search '(employeeNumber=*)' | grep -c ^dn: || true) users after clear"
call DELETE /v1/targets/$target
call DELETE "/v1/batches/$batch" >/dev/null
