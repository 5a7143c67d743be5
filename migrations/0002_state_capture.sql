-- State capture: every committed change of `users`, by any writer, raises the version of each scope it touches, in commit
-- order, and records the state that the scope has then.
--
-- part       the users with one (batch_id, is_test_user, created_by_bulk). Each user is in one part of its pool.
-- scope      what one filter selects: one batch or any, only test users or all, only users created in bulk or all. A scope is
--            a union of parts. Its digest is the sum of its user lines' digests, four words of 64 bits modulo 2^64.
-- state      the name of a digest. `scopes` has the current version and digest of each scope; `states` has the history.
-- commit id  identifies a transaction that wrote users. users.commit_id: the last that wrote the row.
-- stay       the time of a user in one part under one id. It begins with the commit users.entered_commit_id.
-- tombstone  a stay that has ended, with the commits that began and ended it.
--
-- Example: commit 7 creates the test user u in batch A, in bulk; commit 9 moves u to batch B. Commit 9
--   users         stamps u: commit_id 9, entered_commit_id 9
--   tombstones    adds u's stay in A: entered 7, left 9
--   part_changes  subtracts the old line from the part of A, and adds the new line to the part of B
--   scopes        raises 12 versions: 4 combinations of flags, each for batch A, batch B and any batch
--   states        adds 12 rows with commit id 9
-- A delta of A from a base before commit 9 deletes u; a delta of B adds u; a delta of the pool updates u.
--
-- 1. Before a statement, the transaction draws its commit id (begin_commit). Rows are stamped with it (stamp_…).
-- 2. After a statement, its sums go to part_changes, and the stays it ended go to tombstones (capture_…).
-- 3. At commit, a deferred trigger adds the sums to the scopes and records the states (record_states).
-- Step 3 locks the scopes in key order, as the last locks of the transaction, until the commit is done. So version order is
-- commit order is visibility order; and a transaction that waits for a scope takes no more rows, so two writers cannot
-- deadlock on scopes.

-- The transaction that fills it empties it before its commit, so a crash loses nothing although the table is unlogged.
create unlogged table part_changes (
  pool_id integer not null,
  commit_id bigint not null,
  id bigint not null generated always as identity,
  batch_id uuid,
  is_test_user boolean not null,
  created_by_bulk boolean not null,
  user_count bigint not null,
  word_0 numeric not null,
  word_1 numeric not null,
  word_2 numeric not null,
  word_3 numeric not null,
  primary key (pool_id, commit_id, id),
  constraint part_changes_of_pool foreign key (pool_id) references pools (id)
);
--> statement-breakpoint

-- Each definer function first refuses every table but its own. 0003 also revokes EXECUTE, without which no other role can
-- attach it to a table.

-- Draws the transaction's commit id, which currval returns from then on. A setting local to the transaction keeps that it was
-- drawn: a rollback to a savepoint undoes the setting, and a value that is not the transaction's own id (an earlier
-- transaction's, or a client's) does not count. Its name has the schema, since one transaction may write to two services.
create function begin_commit() returns trigger language plpgsql security definer set search_path from current as $$
declare
  setting text := current_schema() || '.capturing_transaction';
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'begin_commit() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  if current_setting(setting, true) is distinct from pg_current_xact_id()::text then
    perform nextval('commit_ids'), set_config(setting, pg_current_xact_id()::text, true);
  end if;
  return null;
end
$$;
--> statement-breakpoint
-- For an insert that names the stamps itself (a copy of a whole row): a row stamped with an old commit would be in no delta.
create function stamp_insert() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'stamp_insert() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  new.commit_id := currval('commit_ids');
  new.entered_commit_id := new.commit_id;
  return new;
end
$$;
--> statement-breakpoint
create function stamp_update() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'stamp_update() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  if new.pool_id <> old.pool_id then
    raise exception 'a user stays in its pool' using errcode = 'check_violation', hint = 'Delete it and make it in the other pool.';
  end if;
  new.commit_id := currval('commit_ids');
  if (new.id, new.batch_id, new.is_test_user, new.created_by_bulk)
    is distinct from (old.id, old.batch_id, old.is_test_user, old.created_by_bulk)
  then
    new.entered_commit_id := new.commit_id;
  else
    new.entered_commit_id := old.entered_commit_id;
  end if;
  if new.updated_at = old.updated_at then
    new.updated_at := greatest(now(), old.updated_at + interval '1 microsecond');
  end if;
  return new;
end
$$;
--> statement-breakpoint
-- The capture functions record a change for every part that the statement touched, even if it adds up to zero: the touched rows
-- have the new commit id, and a delta finds them only through a state with that commit id.
-- Only new lines are bounded: a line that is too long can still be shortened and deleted.
create function capture_insert() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'capture_insert() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  insert into part_changes
    (pool_id, commit_id, batch_id, is_test_user, created_by_bulk, user_count, word_0, word_1, word_2, word_3)
  select d.pool_id, currval('commit_ids'), d.batch_id, d.is_test_user, d.created_by_bulk, count(*),
    sum(substring(d.digest from 1 for 64)::bigint), sum(substring(d.digest from 65 for 64)::bigint),
    sum(substring(d.digest from 129 for 64)::bigint), sum(substring(d.digest from 193 for 64)::bigint)
  from (
    select l.pool_id, l.batch_id, l.is_test_user, l.created_by_bulk, line_digest(bounded_line(l.id, l.line)) as digest
    from (
      select n.pool_id, n.id, n.batch_id, n.is_test_user, n.created_by_bulk,
        user_line(n.id, n.username, n.email, n.role, n.is_test_user, n.batch_id, n.created_by_bulk,
          n.custom_attributes, n.created_at, n.updated_at) as line
      from new_rows n
      offset 0 -- keeps the line from being computed once for each use
    ) l
    offset 0 -- keeps the digest from being computed once for each word
  ) d
  group by d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk;
  return null;
end
$$;
--> statement-breakpoint
-- A stay that began in this transaction leaves no tombstone: no reader has seen it.
create function capture_delete() returns trigger language plpgsql security definer set search_path from current as $$
declare
  this_commit bigint;
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'capture_delete() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  this_commit := currval('commit_ids');
  insert into part_changes
    (pool_id, commit_id, batch_id, is_test_user, created_by_bulk, user_count, word_0, word_1, word_2, word_3)
  select d.pool_id, this_commit, d.batch_id, d.is_test_user, d.created_by_bulk, -count(*),
    -sum(substring(d.digest from 1 for 64)::bigint), -sum(substring(d.digest from 65 for 64)::bigint),
    -sum(substring(d.digest from 129 for 64)::bigint), -sum(substring(d.digest from 193 for 64)::bigint)
  from (
    select o.pool_id, o.batch_id, o.is_test_user, o.created_by_bulk,
      line_digest(user_line(o.id, o.username, o.email, o.role, o.is_test_user, o.batch_id, o.created_by_bulk,
        o.custom_attributes, o.created_at, o.updated_at)) as digest
    from old_rows o
    offset 0
  ) d
  group by d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk;
  insert into tombstones (pool_id, left_commit_id, user_id, batch_id, is_test_user, created_by_bulk, entered_commit_id)
  select o.pool_id, this_commit, o.id, o.batch_id, o.is_test_user, o.created_by_bulk, o.entered_commit_id
  from old_rows o where o.entered_commit_id <> this_commit;
  return null;
end
$$;
--> statement-breakpoint
-- The ended stays are the old ones except the new ones: a set operation, because a join of two transition tables is planned
-- once for each session, for a statement of any size.
create function capture_update() returns trigger language plpgsql security definer set search_path from current as $$
declare
  this_commit bigint;
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'capture_update() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  this_commit := currval('commit_ids');
  insert into part_changes
    (pool_id, commit_id, batch_id, is_test_user, created_by_bulk, user_count, word_0, word_1, word_2, word_3)
  select d.pool_id, this_commit, d.batch_id, d.is_test_user, d.created_by_bulk, d.sign * count(*),
    d.sign * sum(substring(d.digest from 1 for 64)::bigint), d.sign * sum(substring(d.digest from 65 for 64)::bigint),
    d.sign * sum(substring(d.digest from 129 for 64)::bigint), d.sign * sum(substring(d.digest from 193 for 64)::bigint)
  from (
    select l.pool_id, l.batch_id, l.is_test_user, l.created_by_bulk, 1 as sign,
      line_digest(bounded_line(l.id, l.line)) as digest
    from (
      select n.pool_id, n.id, n.batch_id, n.is_test_user, n.created_by_bulk,
        user_line(n.id, n.username, n.email, n.role, n.is_test_user, n.batch_id, n.created_by_bulk,
          n.custom_attributes, n.created_at, n.updated_at) as line
      from new_rows n
      offset 0
    ) l
    union all
    select o.pool_id, o.batch_id, o.is_test_user, o.created_by_bulk, -1,
      line_digest(user_line(o.id, o.username, o.email, o.role, o.is_test_user, o.batch_id, o.created_by_bulk,
        o.custom_attributes, o.created_at, o.updated_at))
    from old_rows o
    offset 0
  ) d
  group by d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk, d.sign;
  insert into tombstones (pool_id, left_commit_id, user_id, batch_id, is_test_user, created_by_bulk, entered_commit_id)
  select s.pool_id, this_commit, s.id, s.batch_id, s.is_test_user, s.created_by_bulk, s.entered_commit_id
  from (
    select o.pool_id, o.id, o.batch_id, o.is_test_user, o.created_by_bulk, o.entered_commit_id from old_rows o
    except
    select n.pool_id, n.id, n.batch_id, n.is_test_user, n.created_by_bulk, n.entered_commit_id from new_rows n
  ) s where s.entered_commit_id <> this_commit;
  return null;
end
$$;
--> statement-breakpoint
-- Runs once for each row of part_changes at commit. The first run handles all rows; the others find none. If a writer makes
-- constraints immediate, it runs after each statement, and raises the version of the commit's record instead of adding one.
create function record_states() returns trigger language plpgsql security definer set search_path from current as $$
begin
  if tg_relid <> 'part_changes'::regclass then
    raise exception 'record_states() is a trigger of the table part_changes' using errcode = 'wrong_object_type';
  end if;
  -- Look for this one row first. A search for any row would step over all rows that the first run deleted: quadratic.
  perform 1 from part_changes p where p.pool_id = new.pool_id and p.commit_id = new.commit_id and p.id = new.id;
  if not found then
    return null;
  end if;
  with taken as (
    delete from part_changes p
    where p.pool_id = new.pool_id and p.commit_id = new.commit_id
    returning *
  ), scope_changes as (
    -- A part belongs to up to eight scopes: its batch and any batch, times both values of each flag that it satisfies.
    select t.pool_id, b.batch_id, f.test_users_only, k.bulk_users_only, sum(t.user_count) as user_count,
      wrap_word(sum(t.word_0)) as word_0, wrap_word(sum(t.word_1)) as word_1,
      wrap_word(sum(t.word_2)) as word_2, wrap_word(sum(t.word_3)) as word_3
    from taken t
    cross join lateral (
      select '00000000-0000-0000-0000-000000000000'::uuid union select t.batch_id where t.batch_id is not null
    ) b (batch_id)
    cross join lateral (select false union select t.is_test_user) f (test_users_only)
    cross join lateral (select false union select t.created_by_bulk) k (bulk_users_only)
    group by t.pool_id, b.batch_id, f.test_users_only, k.bulk_users_only
  ), raised as (
    insert into scopes as s
      (pool_id, batch_id, test_users_only, bulk_users_only, version, user_count, word_0, word_1, word_2, word_3)
    select c.pool_id, c.batch_id, c.test_users_only, c.bulk_users_only, 1, c.user_count,
      c.word_0, c.word_1, c.word_2, c.word_3
    from scope_changes c
    order by c.pool_id, c.batch_id, c.test_users_only, c.bulk_users_only
    on conflict (pool_id, batch_id, test_users_only, bulk_users_only) do update set
      version = s.version + 1,
      user_count = s.user_count + excluded.user_count,
      word_0 = wrap_word(s.word_0::numeric + excluded.word_0),
      word_1 = wrap_word(s.word_1::numeric + excluded.word_1),
      word_2 = wrap_word(s.word_2::numeric + excluded.word_2),
      word_3 = wrap_word(s.word_3::numeric + excluded.word_3)
    returning s.*
  )
  insert into states as h (pool_id, batch_id, test_users_only, bulk_users_only, version, commit_id, state)
  select r.pool_id, r.batch_id, r.test_users_only, r.bulk_users_only, r.version, new.commit_id,
    state_name(r.word_0, r.word_1, r.word_2, r.word_3)
  from raised r
  on conflict (pool_id, batch_id, test_users_only, bulk_users_only, commit_id)
    do update set version = excluded.version, state = excluded.state;
  return null;
end
$$;
--> statement-breakpoint
create trigger begin_commit before insert or update or delete on users
for each statement execute function begin_commit();
--> statement-breakpoint
create trigger stamp_insert before insert on users for each row
when (new.commit_id <> currval('commit_ids') or new.entered_commit_id <> currval('commit_ids'))
execute function stamp_insert();
--> statement-breakpoint
-- Compares bytes (`*<>`), not values: 1.1 and 1.10 are equal numbers in jsonb and different lines.
create trigger stamp_update before update on users for each row
when (old.* *<> new.*) execute function stamp_update();
--> statement-breakpoint
create trigger capture_insert after insert on users
referencing new table as new_rows for each statement execute function capture_insert();
--> statement-breakpoint
create trigger capture_update after update on users
referencing old table as old_rows new table as new_rows for each statement execute function capture_update();
--> statement-breakpoint
create trigger capture_delete after delete on users
referencing old table as old_rows for each statement execute function capture_delete();
--> statement-breakpoint
create constraint trigger record_states after insert on part_changes
deferrable initially deferred for each row execute function record_states();
--> statement-breakpoint
-- `always`: a session with session_replication_role = replica (a restore, a copying tool) is captured as well.
alter table users
  enable always trigger begin_commit,
  enable always trigger stamp_insert,
  enable always trigger stamp_update,
  enable always trigger capture_insert,
  enable always trigger capture_update,
  enable always trigger capture_delete;
--> statement-breakpoint
alter table part_changes enable always trigger record_states;
