-- State capture: every committed change of `users`, by whomever, raises the version of each scope it touches, in commit
-- order, and records the state that the scope then has. What each part does:
--   1. before a statement: the transaction draws its commit id (begin_commit); rows are stamped with it
--   2. after a statement: what it added to and took from each part goes to part_changes, ended stays to tombstones
--   3. at commit: one deferred trigger adds the changes to the scopes, locked in key order, and records the states
-- The scopes' row locks are taken last and held to the end of the commit, so that version order is commit order is
-- visibility order, and a transaction that waits for a scope takes no further rows: two writers cannot deadlock on it.

-- Emptied by the transaction that fills it, before its commit; so nothing is lost with it in a crash.
create unlogged table part_changes (
  pool_id integer not null references pools (id),
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
  primary key (pool_id, commit_id, id)
);
--> statement-breakpoint
alter table batches add foreign key (pool_id) references pools (id);
--> statement-breakpoint
alter table chunks add foreign key (pool_id, batch_id) references batches (pool_id, id) on delete cascade;
--> statement-breakpoint
alter table failures add foreign key (pool_id, batch_id) references batches (pool_id, id) on delete cascade;
--> statement-breakpoint
insert into pools (id, name) values (1, 'default');
--> statement-breakpoint
-- A single row at 50 % fill, so that raising a version stays within its page (a heap-only update, no index touched).
alter table scopes set (fillfactor = 50);
--> statement-breakpoint

-- Draws the transaction's commit id; currval is the stamp from then on. That it was drawn is kept in a setting local to
-- the transaction: a roll-back to a savepoint takes it back, and a value that is not the transaction's own id (of an earlier
-- one, or a client's) is not believed. The name carries the schema: one transaction may write two services' tables.
create function begin_commit() returns trigger language plpgsql security definer set search_path from current as $$
declare
  setting text := current_schema() || '.capturing_transaction';
begin
  if current_setting(setting, true) is distinct from pg_current_xact_id()::text then
    perform nextval('commit_ids'), set_config(setting, pg_current_xact_id()::text, true);
  end if;
  return null;
end
$$;
--> statement-breakpoint
-- For the rare insert that names the stamps itself (a copy of a whole row): a stamp of an old commit would hide the row.
create function stamp_insert() returns trigger language plpgsql security definer set search_path from current as $$
begin
  new.commit_id := currval('commit_ids');
  new.entered_commit_id := new.commit_id;
  return new;
end
$$;
--> statement-breakpoint
create function stamp_update() returns trigger language plpgsql security definer set search_path from current as $$
begin
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
-- A part is the set of users with one (batch_id, is_test_user, created_by_bulk); a scope's digest is a sum of parts.
-- A change is recorded for every part that a statement touched, even where it adds up to nothing: the touched rows carry
-- the new commit id, and a commit that no scope knows would hide them. The tombstones of an update are the old stays less
-- the new ones: a set operation, since a join of two transition tables is planned once a session, for any size.
create function capture_changes() returns trigger language plpgsql security definer set search_path from current as $$
declare
  this_commit bigint := currval('commit_ids');
begin
  if tg_op <> 'DELETE' then
    insert into part_changes
      (pool_id, commit_id, batch_id, is_test_user, created_by_bulk, user_count, word_0, word_1, word_2, word_3)
    select d.pool_id, this_commit, d.batch_id, d.is_test_user, d.created_by_bulk, count(*),
      sum(substring(d.digest from 1 for 64)::bigint), sum(substring(d.digest from 65 for 64)::bigint),
      sum(substring(d.digest from 129 for 64)::bigint), sum(substring(d.digest from 193 for 64)::bigint)
    from (
      select n.pool_id, n.batch_id, n.is_test_user, n.created_by_bulk,
        line_digest(user_line(n.id, n.username, n.email, n.role, n.is_test_user, n.batch_id, n.created_by_bulk,
          n.custom_attributes, n.created_at, n.updated_at)) as digest
      from new_rows n
      offset 0 -- keeps the digest from being computed once for each word
    ) d
    group by d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk;
  end if;
  if tg_op <> 'INSERT' then
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
  end if;
  -- A stay that began in this same transaction was never seen by anybody and leaves no tombstone.
  if tg_op = 'DELETE' then
    insert into tombstones (pool_id, left_commit_id, user_id, batch_id, is_test_user, created_by_bulk, entered_commit_id)
    select o.pool_id, this_commit, o.id, o.batch_id, o.is_test_user, o.created_by_bulk, o.entered_commit_id
    from old_rows o where o.entered_commit_id <> this_commit;
  elsif tg_op = 'UPDATE' then
    insert into tombstones (pool_id, left_commit_id, user_id, batch_id, is_test_user, created_by_bulk, entered_commit_id)
    select s.pool_id, this_commit, s.id, s.batch_id, s.is_test_user, s.created_by_bulk, s.entered_commit_id
    from (
      select o.pool_id, o.id, o.batch_id, o.is_test_user, o.created_by_bulk, o.entered_commit_id from old_rows o
      except
      select n.pool_id, n.id, n.batch_id, n.is_test_user, n.created_by_bulk, n.entered_commit_id from new_rows n
    ) s where s.entered_commit_id <> this_commit;
  end if;
  return null;
end
$$;
--> statement-breakpoint
-- Runs once for each row of part_changes at commit; the first run does all of them, the others find none. Where a writer
-- makes constraints immediate it runs after each statement instead, and the commit's record is raised, not doubled.
create function record_states() returns trigger language plpgsql security definer set search_path from current as $$
begin
  -- Looks for its own row first: to look for any would pass over all that the first run deleted, n times n.
  perform 1 from part_changes p where p.pool_id = new.pool_id and p.commit_id = new.commit_id and p.id = new.id;
  if not found then
    return null;
  end if;
  with taken as (
    delete from part_changes p
    where p.pool_id = new.pool_id and p.commit_id = new.commit_id
    returning *
  ), scope_changes as (
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
create function refuse_truncate() returns trigger language plpgsql as $$
begin
  raise exception 'truncate of users would not be seen by those who hold them'
    using errcode = 'feature_not_supported', hint = 'Use: delete from users.';
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
create trigger stamp_update before update on users for each row
when (old.* is distinct from new.*) execute function stamp_update();
--> statement-breakpoint
create trigger capture_insert after insert on users
referencing new table as new_rows for each statement execute function capture_changes();
--> statement-breakpoint
create trigger capture_update after update on users
referencing old table as old_rows new table as new_rows for each statement execute function capture_changes();
--> statement-breakpoint
create trigger capture_delete after delete on users
referencing old table as old_rows for each statement execute function capture_changes();
--> statement-breakpoint
create trigger refuse_truncate before truncate on users for each statement execute function refuse_truncate();
--> statement-breakpoint
create constraint trigger record_states after insert on part_changes
deferrable initially deferred for each row execute function record_states();
--> statement-breakpoint
-- `always`: a session with session_replication_role = replica (a restore, a copying tool) is captured as well.
alter table users enable always trigger begin_commit;
--> statement-breakpoint
alter table users enable always trigger stamp_insert;
--> statement-breakpoint
alter table users enable always trigger stamp_update;
--> statement-breakpoint
alter table users enable always trigger capture_insert;
--> statement-breakpoint
alter table users enable always trigger capture_update;
--> statement-breakpoint
alter table users enable always trigger capture_delete;
--> statement-breakpoint
alter table users enable always trigger refuse_truncate;
--> statement-breakpoint
alter table part_changes enable always trigger record_states;
