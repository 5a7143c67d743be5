-- Bookkeeping of batches that leaves nothing behind. A chunk row exists while the chunk is open: the transaction that does
-- the chunk deletes the row and adds the counts to the batch. Credentials and secrets that no user needs are deleted.
alter table batches add column created_count integer not null default 0;
--> statement-breakpoint
alter table batches add column failed_count integer not null default 0;
--> statement-breakpoint
alter table batches add column chunk_count integer not null default 0;
--> statement-breakpoint
alter table batches add column peak_memory_bytes bigint;
--> statement-breakpoint
alter table batches add column credential_count integer not null default 0;
--> statement-breakpoint
alter table batches add column last_error text;
--> statement-breakpoint
alter table batches add column removed_at timestamp with time zone;
--> statement-breakpoint
alter table batches add column idempotency_owner text collate "C" not null default '';
--> statement-breakpoint
update batches b set
  created_count = c.created_count, failed_count = c.failed_count, chunk_count = c.chunk_count,
  peak_memory_bytes = c.peak_memory_bytes
from (
  select pool_id, batch_id,
    coalesce(sum(created_count) filter (where kind = 'users'), 0)::int as created_count,
    coalesce(sum(failed_count) filter (where kind = 'users'), 0)::int as failed_count,
    count(*) filter (where kind = 'users' and finished_at is not null) as chunk_count,
    nullif(max(memory_bytes) filter (where kind = 'users'), 0) as peak_memory_bytes
  from chunks group by pool_id, batch_id
) c
where b.pool_id = c.pool_id and b.id = c.batch_id;
--> statement-breakpoint
update batches set credential_count = (config->'password_hash'->>'distinct')::int where kind = 'creation';
--> statement-breakpoint
-- Each chunk updates the row of its batch. Half-full pages leave room for the new version, so that no index is touched.
alter table batches set (fillfactor = 50);
--> statement-breakpoint
delete from chunks c using batches b
where b.pool_id = c.pool_id and b.id = c.batch_id and (c.finished_at is not null or b.finished_at is not null);
--> statement-breakpoint
drop index chunks_unfinished;
--> statement-breakpoint
alter table chunks drop column created_count, drop column failed_count, drop column memory_bytes, drop column finished_at;
--> statement-breakpoint
alter table chunks add column timeouts integer not null default 0;
--> statement-breakpoint
drop index batches_idempotency_key;
--> statement-breakpoint
create unique index batches_idempotency_key on batches (pool_id, idempotency_owner, idempotency_key)
where idempotency_key is not null;
--> statement-breakpoint
create index batches_expiring on batches (expires_at, pool_id, id) where expires_at is not null and removed_at is null;
--> statement-breakpoint
alter table credentials add column pinned boolean not null default false;
--> statement-breakpoint
-- Ranges of credentials that may have lost their last user. Appended to and never updated, so that no writer waits for another.
create table credential_checks (
  id bigint primary key generated always as identity,
  pool_id integer not null references pools (id) on delete cascade,
  first_id bigint not null,
  last_id bigint not null
);
--> statement-breakpoint
create index credential_checks_pool on credential_checks (pool_id, id);
--> statement-breakpoint
insert into credential_checks (pool_id, first_id, last_id)
select pool_id, first_credential_id, first_credential_id + credential_count - 1 from batches
where credential_count > 0 and finished_at is not null;
--> statement-breakpoint
-- Notes the credentials of deleted users, whoever deletes them. Whether another user still has one is decided later, in the
-- background: here it would cost every deletion a look-up, and two deletions at once would each see the other's users.
create function note_credentials() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'note_credentials() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  insert into credential_checks (pool_id, first_id, last_id)
  select o.pool_id, min(o.credential_id), max(o.credential_id) from old_rows o
  where o.credential_id is not null group by o.pool_id, o.batch_id;
  return null;
end
$$;
--> statement-breakpoint
revoke execute on function note_credentials() from public;
--> statement-breakpoint
create trigger note_credentials after delete on users
referencing old table as old_rows for each statement execute function note_credentials();
--> statement-breakpoint
alter table users enable always trigger note_credentials;
--> statement-breakpoint
-- The users of a credential are found by their ids, which follow from the batch's. A user that plain SQL gave another id is
-- not found so: its credential stays until the pool is deleted.
create function pin_credential() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'pin_credential() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  update credentials set pinned = true where pool_id = old.pool_id and id = old.credential_id;
  return null;
end
$$;
--> statement-breakpoint
revoke execute on function pin_credential() from public;
--> statement-breakpoint
create trigger pin_credential after update of id on users for each row
when (new.id <> old.id and old.credential_id is not null) execute function pin_credential();
--> statement-breakpoint
alter table users enable always trigger pin_credential;
