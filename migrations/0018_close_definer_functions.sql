-- PostgreSQL checks EXECUTE on a trigger function when a trigger is created, not when it fires. Any role with `usage` on the
-- schema could attach these functions to a table of its own, where they ran with the rights of the owner. Writers of `users`
-- do not need EXECUTE, so nobody but the owner has it. `create or replace` keeps these rights.
revoke execute on function begin_commit(), stamp_insert(), stamp_update(), capture_changes(), record_states(),
  refuse_truncate(), refuse_change_of_protected_user() from public;
--> statement-breakpoint
-- Second line of defence: each definer function refuses every table but its own. The bodies are otherwise unchanged.
create or replace function begin_commit() returns trigger language plpgsql security definer set search_path from current as $$
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
create or replace function stamp_insert() returns trigger language plpgsql security definer set search_path from current as $$
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
create or replace function stamp_update() returns trigger language plpgsql security definer set search_path from current as $$
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
create or replace function capture_changes() returns trigger language plpgsql security definer set search_path from current as $$
declare
  this_commit bigint;
begin
  if tg_relid <> 'users'::regclass then
    raise exception 'capture_changes() is a trigger of the table users' using errcode = 'wrong_object_type';
  end if;
  this_commit := currval('commit_ids');
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
  -- Nobody has seen a stay that began in this transaction, so it leaves no tombstone.
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
create or replace function record_states() returns trigger language plpgsql security definer set search_path from current as $$
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
