#!/usr/bin/env bash
# Copies what a push leaves out of a pool from one deployment to another: its batches, passwords, hashes and second factors.
#
#   move-batches.sh POOL postgres://…/first postgres://…/second
#
# In docs/deployments.md this is step 3: the pool has the same users in both deployments and is a replica in both, and both deployments
# have the same version, ENCRYPTION_KEY and DB_SCHEMA. One transaction: it is done, or nothing is.
set -euo pipefail
POOL=$1 FIRST=$2 SECOND=$3
[[ $POOL =~ ^[a-z0-9][a-z0-9._-]*$ ]] || { echo "not a pool: $POOL" >&2; exit 2; }
export PGOPTIONS="--search_path=${DB_SCHEMA:-usersync},pg_temp"
sql() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 "$@"; }

# Prints SQL that fills a temporary table with rows of the first deployment.
rows() { # TABLE, COLUMNS, CONDITION
  echo "create temp table moved_$1 on commit drop as select $2 from $1 where false;"
  echo "copy moved_$1 from stdin;"
  sql --command "copy (select $2 from $1 where $3) to stdout" "$FIRST"
  echo '\.'
}

{
  of_pool="pool_id = (select id from pools where name = '$POOL')"
  echo 'begin;'
  rows batches '*' "$of_pool"
  rows failures '*' "$of_pool"
  rows credentials '*' "$of_pool"
  rows users 'id, credential_id' "$of_pool and credential_id is not null"
  rows pools 'next_user_number, next_credential_id' "name = '$POOL'"
  cat <<SQL
update pools p set next_user_number = m.next_user_number, next_credential_id = m.next_credential_id
  from moved_pools m where p.name = '$POOL' and p.replica_since is not null;
update moved_batches set $of_pool;
update moved_failures set $of_pool;
update moved_credentials set $of_pool;
insert into batches select * from moved_batches;
insert into failures select * from moved_failures;
insert into credentials select * from moved_credentials;

-- Written again, because a changed row would have another updated_at, and the pool another state.
create temp table again on commit drop as select * from users where $of_pool and id in (select id from moved_users);
update again a set credential_id = m.credential_id from moved_users m where m.id = a.id;
delete from users where $of_pool and id in (select id from again);
insert into users select * from again;
commit;
SQL
} | sql "$SECOND"
