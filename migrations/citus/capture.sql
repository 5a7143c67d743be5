-- The functions of migrations/0002_state_capture.sql and 0003_protect_users.sql that a worker of Citus cannot run, in a form that it can.
-- They record the same. Citus plans each table name on the worker, and it supports neither a statement that reads both a transition
-- table and another table, nor a chain of data-modifying CTEs. So a loop reads the transition table, and each statement in it has plain
-- values only. On PostgreSQL this form creates users at 0.83 to 0.93 of the rate, so PostgreSQL keeps its own.

create or replace function capture_insert() returns trigger language plpgsql security definer set search_path from current as $$
declare
  part record;
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'capture_insert() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  for part in
    select d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk, count(*) as user_count,
      sum(substring(d.digest from 1 for 64)::bigint) as word_0, sum(substring(d.digest from 65 for 64)::bigint) as word_1,
      sum(substring(d.digest from 129 for 64)::bigint) as word_2, sum(substring(d.digest from 193 for 64)::bigint) as word_3
    from (
      select l.pool_id, l.batch_id, l.is_test_user, l.created_by_bulk, line_digest(bounded_line(l.id, l.line)) as digest
      from (
        select n.pool_id, n.id, n.batch_id, n.is_test_user, n.created_by_bulk,
          user_line(n.id, n.username, n.email, n.role, n.is_test_user, n.batch_id, n.created_by_bulk,
            n.custom_attributes, n.created_at, n.updated_at) as line
        from new_rows n
        offset 0
      ) l
      offset 0
    ) d
    group by d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk
  loop
    insert into part_changes
      (pool_id, commit_id, batch_id, is_test_user, created_by_bulk, user_count, word_0, word_1, word_2, word_3)
    values (part.pool_id, currval('commit_ids'), part.batch_id, part.is_test_user, part.created_by_bulk, part.user_count,
      part.word_0, part.word_1, part.word_2, part.word_3);
  end loop;
  return null;
end
$$;
--> statement-breakpoint
-- Tombstones are inserted as arrays of up to 10,000 users.
create or replace function capture_delete() returns trigger language plpgsql security definer set search_path from current as $$
declare
  this_commit bigint;
  part record;
  stays record;
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'capture_delete() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  this_commit := currval('commit_ids');
  for part in
    select d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk, -count(*) as user_count,
      -sum(substring(d.digest from 1 for 64)::bigint) as word_0, -sum(substring(d.digest from 65 for 64)::bigint) as word_1,
      -sum(substring(d.digest from 129 for 64)::bigint) as word_2, -sum(substring(d.digest from 193 for 64)::bigint) as word_3
    from (
      select o.pool_id, o.batch_id, o.is_test_user, o.created_by_bulk,
        line_digest(user_line(o.id, o.username, o.email, o.role, o.is_test_user, o.batch_id, o.created_by_bulk,
          o.custom_attributes, o.created_at, o.updated_at)) as digest
      from old_rows o
      offset 0
    ) d
    group by d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk
  loop
    insert into part_changes
      (pool_id, commit_id, batch_id, is_test_user, created_by_bulk, user_count, word_0, word_1, word_2, word_3)
    values (part.pool_id, this_commit, part.batch_id, part.is_test_user, part.created_by_bulk, part.user_count,
      part.word_0, part.word_1, part.word_2, part.word_3);
  end loop;
  for stays in
    select s.pool_id, array_agg(s.id) as ids, array_agg(s.batch_id) as batch_ids, array_agg(s.is_test_user) as is_test,
      array_agg(s.created_by_bulk) as is_bulk, array_agg(s.entered_commit_id) as entered
    from (
      select o.*, (row_number() over ()) / 10000 as page from old_rows o where o.entered_commit_id <> this_commit
    ) s
    group by s.pool_id, s.page
  loop
    insert into tombstones (pool_id, left_commit_id, user_id, batch_id, is_test_user, created_by_bulk, entered_commit_id)
    select stays.pool_id, this_commit, s.*
    from unnest(stays.ids, stays.batch_ids, stays.is_test, stays.is_bulk, stays.entered) s;
  end loop;
  return null;
end
$$;
--> statement-breakpoint
create or replace function capture_update() returns trigger language plpgsql security definer set search_path from current as $$
declare
  this_commit bigint;
  part record;
  stays record;
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'capture_update() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  this_commit := currval('commit_ids');
  for part in
    select d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk, d.sign * count(*) as user_count,
      d.sign * sum(substring(d.digest from 1 for 64)::bigint) as word_0, d.sign * sum(substring(d.digest from 65 for 64)::bigint) as word_1,
      d.sign * sum(substring(d.digest from 129 for 64)::bigint) as word_2, d.sign * sum(substring(d.digest from 193 for 64)::bigint) as word_3
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
    group by d.pool_id, d.batch_id, d.is_test_user, d.created_by_bulk, d.sign
  loop
    insert into part_changes
      (pool_id, commit_id, batch_id, is_test_user, created_by_bulk, user_count, word_0, word_1, word_2, word_3)
    values (part.pool_id, this_commit, part.batch_id, part.is_test_user, part.created_by_bulk, part.user_count,
      part.word_0, part.word_1, part.word_2, part.word_3);
  end loop;
  for stays in
    select s.pool_id, array_agg(s.id) as ids, array_agg(s.batch_id) as batch_ids, array_agg(s.is_test_user) as is_test,
      array_agg(s.created_by_bulk) as is_bulk, array_agg(s.entered_commit_id) as entered
    from (
      select e.*, (row_number() over ()) / 10000 as page
      from (
        select o.pool_id, o.id, o.batch_id, o.is_test_user, o.created_by_bulk, o.entered_commit_id from old_rows o
        except
        select n.pool_id, n.id, n.batch_id, n.is_test_user, n.created_by_bulk, n.entered_commit_id from new_rows n
      ) e where e.entered_commit_id <> this_commit
    ) s
    group by s.pool_id, s.page
  loop
    insert into tombstones (pool_id, left_commit_id, user_id, batch_id, is_test_user, created_by_bulk, entered_commit_id)
    select stays.pool_id, this_commit, s.*
    from unnest(stays.ids, stays.batch_ids, stays.is_test, stays.is_bulk, stays.entered) s;
  end loop;
  return null;
end
$$;
--> statement-breakpoint
-- The loop takes the scopes in key order, as the one statement of 0002 does, so two writers cannot deadlock on scopes.
create or replace function record_states() returns trigger language plpgsql security definer set search_path from current as $$
declare
  change record;
  raised record;
begin
  if tg_relid <> 'part_changes'::regclass then
    raise exception 'record_states() is a trigger of the table part_changes' using errcode = 'wrong_object_type';
  end if;
  perform 1 from part_changes p where p.pool_id = new.pool_id and p.commit_id = new.commit_id and p.id = new.id;
  if not found then
    return null;
  end if;
  for change in
    select t.pool_id, b.batch_id, f.test_users_only, k.bulk_users_only, sum(t.user_count) as user_count,
      wrap_word(sum(t.word_0)) as word_0, wrap_word(sum(t.word_1)) as word_1,
      wrap_word(sum(t.word_2)) as word_2, wrap_word(sum(t.word_3)) as word_3
    from part_changes t
    cross join lateral (
      select '00000000-0000-0000-0000-000000000000'::uuid union select t.batch_id where t.batch_id is not null
    ) b (batch_id)
    cross join lateral (select false union select t.is_test_user) f (test_users_only)
    cross join lateral (select false union select t.created_by_bulk) k (bulk_users_only)
    where t.pool_id = new.pool_id and t.commit_id = new.commit_id
    group by t.pool_id, b.batch_id, f.test_users_only, k.bulk_users_only
    order by t.pool_id, b.batch_id, f.test_users_only, k.bulk_users_only
  loop
    insert into scopes as s
      (pool_id, batch_id, test_users_only, bulk_users_only, version, user_count, word_0, word_1, word_2, word_3)
    values (change.pool_id, change.batch_id, change.test_users_only, change.bulk_users_only, 1, change.user_count,
      change.word_0, change.word_1, change.word_2, change.word_3)
    on conflict (pool_id, batch_id, test_users_only, bulk_users_only) do update set
      version = s.version + 1,
      user_count = s.user_count + excluded.user_count,
      word_0 = wrap_word(s.word_0::numeric + excluded.word_0),
      word_1 = wrap_word(s.word_1::numeric + excluded.word_1),
      word_2 = wrap_word(s.word_2::numeric + excluded.word_2),
      word_3 = wrap_word(s.word_3::numeric + excluded.word_3)
    returning * into raised;
    insert into states as h (pool_id, batch_id, test_users_only, bulk_users_only, version, commit_id, state, recorded_at)
    values (raised.pool_id, raised.batch_id, raised.test_users_only, raised.bulk_users_only, raised.version, new.commit_id,
      state_name(raised.word_0, raised.word_1, raised.word_2, raised.word_3), clock_timestamp())
    on conflict (pool_id, batch_id, test_users_only, bulk_users_only, commit_id)
      do update set version = excluded.version, state = excluded.state;
  end loop;
  delete from part_changes p where p.pool_id = new.pool_id and p.commit_id = new.commit_id;
  return null;
end
$$;
--> statement-breakpoint
create or replace function note_credentials() returns trigger language plpgsql security definer set search_path from current as $$
declare
  range record;
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'note_credentials() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  for range in
    select o.pool_id, min(o.credential_id) as first_id, max(o.credential_id) as last_id from old_rows o
    where o.credential_id is not null group by o.pool_id, o.batch_id
  loop
    insert into credential_checks (pool_id, first_id, last_id) values (range.pool_id, range.first_id, range.last_id);
  end loop;
  return null;
end
$$;
